/** A structured log as the jobs see it: pino's shape, so that a pino logger is one. */

export interface Log {
  debug(fields: object, message: string): void;
  /** `message` is constant text, the data stands in `fields`; neither ever holds a secret. */
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
