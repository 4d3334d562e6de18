/** How long what lasts in the `kubernetes` election: the proportions of client-go's leader election, for any lease. */

/** Milliseconds each. */
export interface KubernetesTimes {
  /** How long others leave the Lease alone after they saw it change. */
  readonly ttlMs: number;
  /** How long after its last good renewal the holder steps down. */
  readonly renewDeadlineMs: number;
  /** From one renewal, or one look of a follower, to the next. */
  readonly retryMs: number;
  /** Longest wait for the answers of one renewal or look. */
  readonly requestLimitMs: number;
}

/**
 * Of 15 s: 10 s, 2 s and 5 s, as of Kubernetes' own controllers.
 * kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go and resourcelock/interface.go:NewFromKubeconfig
 */
export function kubernetesTimes(ttlMs: number): KubernetesTimes {
  return {
    ttlMs,
    renewDeadlineMs: (ttlMs * 10) / 15,
    retryMs: (ttlMs * 2) / 15,
    requestLimitMs: (ttlMs * 5) / 15,
  };
}

/** A follower's wait before its next look, so that not all look at once: up to 2.2 times `retryMs`. `random` is in [0, 1). */
export function followMs({ retryMs }: KubernetesTimes, random: () => number): number {
  return retryMs * (1 + 1.2 * random());
}
