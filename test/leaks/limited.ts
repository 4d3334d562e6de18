/** The program as a process of little memory: killed if it does not end, measured if it does. */

import { Run } from "../e2e/cli.ts";

/** Of the JavaScript heap, MiB; buffers come on top. */
const HEAP_MB = 192;

/** A program that takes this long hangs. */
const KILL_MS = 60_000;

/** Says on standard error how much memory the process had at most. */
const MEASURE = `data:text/javascript,${encodeURIComponent(
  'import { writeSync } from "node:fs"; process.on("exit", () => writeSync(2, "\\nMAXRSS " + process.resourceUsage().maxRSS + "\\n"));',
)}`;

export interface Limited {
  /** `SIGKILL` where it hung, `SIGABRT` where its heap was not enough. */
  readonly status: number | string | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** The most it had resident, MiB. */
  readonly peakMb: number;
}

export async function runLimited(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Limited> {
  const options = `--max-old-space-size=${HEAP_MB} --import=${MEASURE}`;
  await using run = new Run(argv, { ...environment, NODE_OPTIONS: options });
  const timer = setTimeout(() => run.signal("SIGKILL"), KILL_MS);
  const status = await run.ended();
  clearTimeout(timer);
  const lines = run.stderr.filter((line) => !line.startsWith("MAXRSS "));
  const kilobytes = run.stderr.find((line) => line.startsWith("MAXRSS "))?.slice(7);
  const stderr = lines.join("\n");
  return { status, stdout: run.stdout, stderr, peakMb: Number(kilobytes) / 1024 };
}
