/** How the archive is to write. */

export interface WriteOptions {
  /** Whether the store honours preconditions. */
  readonly conditional: boolean;
  /** By the writer's clock; absent: when the snapshot was taken. */
  readonly now?: Date;
}
