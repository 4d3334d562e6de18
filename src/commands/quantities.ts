/** Times, ages and sizes as people read them. */

/** `2026-11-21 12:00:00Z`, always UTC. */
export function formatTime(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** `41 s`, `12 min`, `5 h`, `3 d`: at most two digits until it is about days. Negative ones, of clocks that differ, keep their sign. */
export function formatDuration(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 100) return `${sign}${seconds} s`;
  if (seconds < 100 * 60) return `${sign}${Math.floor(seconds / 60)} min`;
  if (seconds < 100 * 3600) return `${sign}${Math.floor(seconds / 3600)} h`;
  return `${sign}${Math.floor(seconds / 86_400)} d`;
}

/** `512 B`, `10.4 kB`, `9.4 MB`; a kB has 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
