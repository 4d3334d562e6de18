/** A structured log as the jobs see it: pino's shape, so that a pino logger is one. */

export interface Log {
  debug(fields: object, message: string): void;
  /** `message` is constant text, the data stands in `fields`; neither ever holds a secret. */
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The same log, with these fields in every line. */
export function withFields(log: Log, common: object): Log {
  return {
    debug: (fields, message) => log.debug({ ...common, ...fields }, message),
    info: (fields, message) => log.info({ ...common, ...fields }, message),
    warn: (fields, message) => log.warn({ ...common, ...fields }, message),
    error: (fields, message) => log.error({ ...common, ...fields }, message),
  };
}
