/** Every surface. A new command or secret setting needs one: leaks.test.ts fails without. */

import type { Surface } from "./surface.ts";
import { EXPORT_SURFACES } from "./surfaces/export.ts";
import { FAULT_SURFACES } from "./surfaces/faults.ts";
import { IMPORT_SURFACES } from "./surfaces/import.ts";
import { SERVE_SURFACES } from "./surfaces/serve.ts";
import { SNAPSHOTS_SURFACES } from "./surfaces/snapshots.ts";

export const SURFACES: readonly Surface[] = [
  ...EXPORT_SURFACES,
  ...IMPORT_SURFACES,
  ...SERVE_SURFACES,
  ...SNAPSHOTS_SURFACES,
  ...FAULT_SURFACES,
];
