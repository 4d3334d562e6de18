/** Work of the SDK that ends when its caller wants it to. */

/**
 * Runs `work` until the caller's signal aborts: then rejects with its reason at once, for the SDK
 * heeds a signal only when it has found credentials, which may take many seconds. `work` gets a
 * signal of its own, since the SDK leaves several listeners on it for as long as a request lives.
 */
export async function interruptible<T>(
  signal: AbortSignal,
  work: (own: AbortSignal) => Promise<T>,
): Promise<T> {
  const own = new AbortController();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      own.abort(signal.reason);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work(own.signal), aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
