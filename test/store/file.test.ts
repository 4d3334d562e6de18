/** The directory store: conformance, and what lies in the directory for people to see. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { FileStore } from "../../src/store/file.ts";
import { storeConformance } from "./conformance.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "file-store-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let count = 0;
function client(): FileStore {
  const directory = join(root, `store-${count}`);
  return new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
}

storeConformance("FileStore", {
  open: async () => {
    count += 1;
    return client();
  },
  reopen: async () => client(),
});
