/** Telling a dead process by its identity. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { isDeadProcess, processIdentity } from "../../src/core/process-identity.ts";

/** Boot id, pid namespace, pid, start time. */
async function ownParts(): Promise<readonly [string, string, string, string]> {
  const identity = await processIdentity();
  const [, boot, namespace, pid, startedAt] =
    /^([0-9a-f-]{36})\/(\d+)\/(\d+)\/(\d+)$/.exec(identity ?? "") ?? [];
  assert.ok(boot && namespace && pid && startedAt, `${identity}`);
  return [boot, namespace, pid, startedAt];
}

async function identityOf(child: ChildProcess): Promise<string> {
  const [boot, namespace] = await ownParts();
  const stat = await readFile(`/proc/${child.pid}/stat`, "utf8");
  const startedAt = stat.slice(stat.lastIndexOf(")")).split(" ")[20];
  return `${boot}/${namespace}/${child.pid}/${startedAt}`;
}

describe.runIf(process.platform === "linux")("the identity of a process", () => {
  it("is that of one which lives, until it is killed", async () => {
    const child = spawn("sleep", ["3600"]);
    await once(child, "spawn");
    const identity = await identityOf(child);
    assert.equal(await isDeadProcess(identity), false);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(await isDeadProcess(identity), true);
  });

  it("is our own, and alive; with another start time it is of one that had our pid before", async () => {
    const [boot, namespace, pid, startedAt] = await ownParts();
    assert.equal(pid, `${process.pid}`);
    assert.equal(await isDeadProcess(`${boot}/${namespace}/${pid}/${startedAt}`), false);
    assert.equal(await isDeadProcess(`${boot}/${namespace}/${pid}/${Number(startedAt) - 1}`), true);
  });

  it("says nothing of other machines, other containers, and what is no identity", async () => {
    const [boot, namespace] = await ownParts();
    const elsewhere = [
      `00000000-0000-0000-0000-000000000000/${namespace}/999999999/1`,
      `${boot}/1/999999999/1`,
      `${boot}/${namespace}/999999999/`,
      `${boot}/${namespace}/0/1`,
      `${boot}/${namespace}/-1/1`,
      "",
    ];
    for (const identity of elsewhere) assert.equal(await isDeadProcess(identity), false, identity);
  });
});
