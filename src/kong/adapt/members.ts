/** A config as its text and its meaning at once: where each entity stands, and what it says. */

import { isRow, type Row } from "../checks/entity-title.ts";
import { eachElement, type JsonMember, type JsonSpan, jsonMembers } from "../json-members.ts";

export interface PlacedEntity extends JsonSpan {
  /** Undefined where the element is no object. */
  readonly row: Row | undefined;
}

export interface Member extends JsonMember {
  /** Empty where the member is no array. */
  readonly entities: readonly PlacedEntity[];
}

/** Top-level members in their order. Throws JsonSyntaxError. */
export function readMembers(config: Uint8Array): readonly Member[] {
  const buffer = Buffer.from(config.buffer, config.byteOffset, config.length);
  return jsonMembers(config).map((member) => {
    const entities: PlacedEntity[] = [];
    eachElement(config, member.start, ({ start, end }) => {
      const value: unknown = JSON.parse(buffer.toString("utf8", start, end));
      entities.push({ start, end, row: isRow(value) ? value : undefined });
    });
    return { ...member, entities };
  });
}
