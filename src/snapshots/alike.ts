/** Which ids of the history somebody may have meant who asked for one that is not there. */

/** How many ids a hint names. */
const MAX_HINTED = 3;

/** Those of `ids`, the newest first, that contain `text`, say a hash; else those that begin like it. */
export function mostAlike(text: string, ids: readonly string[]): readonly string[] {
  const containing = text === "" ? [] : ids.filter((id) => id.includes(text));
  const alike = ids.toSorted((a, b) => commonStart(text, b) - commonStart(text, a));
  return (containing.length > 0 ? containing : alike).slice(0, MAX_HINTED);
}

function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
