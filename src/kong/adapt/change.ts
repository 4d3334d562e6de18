/** What was taken out of a config to make it fit, told to a person. */

/**
 * - `member`: a top-level member with all it held.
 * - `entity`: one entity.
 * - `field`: a field of several entities of one kind.
 */
export type Change =
  | {
      readonly kind: "member";
      readonly message: string;
      readonly member: string;
      readonly entities: number;
    }
  | {
      readonly kind: "entity";
      readonly message: string;
      readonly entityKind: string;
      readonly id: string | undefined;
    }
  | {
      readonly kind: "field";
      readonly message: string;
      readonly entityKind: string;
      readonly field: string;
      readonly entities: number;
    };
