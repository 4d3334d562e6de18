/** Kong's `reconfigure` payload: what a control plane sends when the config changed. */

/** A config as it arrived; `configTable` is a view of the exact bytes, never re-serialised. */
export interface ConfigUpdate {
  /** The value of `config_table`: Kong's declarative configuration, JSON. */
  readonly configTable: Uint8Array;
  /** Kong's hash of the config, 32 lower-case hex digits; undefined where none, or a malformed one, came. */
  readonly configHash: string | undefined;
  /** Kong's hashes by part (`config`, `routes`, `services`, ...), as given. */
  readonly hashes: Readonly<Record<string, string>>;
  /** When the control plane made the payload: seconds since 1970 by its clock. */
  readonly timestamp: number | undefined;
}
