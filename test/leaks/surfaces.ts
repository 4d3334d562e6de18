/** Every surface. A new command or secret setting needs one: leaks.test.ts fails without. */

import type { Surface } from "./surface.ts";
import { AZURE_SURFACES } from "./surfaces/azure.ts";
import { EXPORT_SURFACES } from "./surfaces/export.ts";
import { FAULT_SURFACES } from "./surfaces/faults.ts";
import { FINDINGS_SURFACES } from "./surfaces/findings.ts";
import { IMPORT_SURFACES } from "./surfaces/import.ts";
import { KEYS_SURFACES } from "./surfaces/keys.ts";
import { KUBERNETES_SURFACES } from "./surfaces/kubernetes.ts";
import { REHEARSAL_SURFACES } from "./surfaces/rehearsal.ts";
import { SEALED_SURFACES } from "./surfaces/sealed.ts";
import { SERVE_SURFACES } from "./surfaces/serve.ts";
import { SNAPSHOTS_SURFACES } from "./surfaces/snapshots.ts";

export const SURFACES: readonly Surface[] = [
  ...EXPORT_SURFACES,
  ...IMPORT_SURFACES,
  ...SERVE_SURFACES,
  ...SNAPSHOTS_SURFACES,
  ...KEYS_SURFACES,
  ...SEALED_SURFACES,
  ...FINDINGS_SURFACES,
  ...REHEARSAL_SURFACES,
  ...AZURE_SURFACES,
  ...KUBERNETES_SURFACES,
  ...FAULT_SURFACES,
];
