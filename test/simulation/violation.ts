/** What breaks a promise. */

/** Thrown for a promise that is broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}
