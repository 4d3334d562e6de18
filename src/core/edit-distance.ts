/** How far two words are apart, to say what was probably meant by a misspelt one. */

/** Letters to insert, delete, replace, or swap with their neighbour. Optimal string alignment. */
export function editDistance(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const shifted = Math.min(last[j] ?? 0, row[j - 1] ?? 0) + 1;
      const areSwapped = i > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = areSwapped ? (beforeLast[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(replaced, shifted, swapped));
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

export interface Closest<Name extends string> {
  readonly name: Name;
  readonly distance: number;
}

/** The first of the closest. Undefined only where there are no names. */
export function closestOf<Name extends string>(
  word: string,
  names: readonly Name[],
): Closest<Name> | undefined {
  let best: Closest<Name> | undefined;
  for (const name of names) {
    const distance = editDistance(word, name);
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best;
}
