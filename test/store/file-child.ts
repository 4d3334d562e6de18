/** A process of its own that uses a directory store: to be killed, limited, or raced. Run by file-process.ts. */

import { createHash } from "node:crypto";
import { openSync } from "node:fs";
import fs, { appendFile, readdir, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { describeCause } from "../../src/core/errors.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { filesOf } from "../../src/store/file/layout.ts";
import { Locks } from "../../src/store/file/locks.ts";
import { Turn } from "../../src/store/file/turn.ts";
import { FileStore } from "../../src/store/file.ts";
import type { Store } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";

/** One call and its arguments; `fill` uses up the file system, `files` lists all files there are. */
export type Step =
  | readonly ["put", string, number]
  | readonly ["get", string]
  | readonly ["delete", string]
  | readonly ["list"]
  | readonly ["fill"]
  | readonly ["files"];

/** What a step gave: a value, or the StoreError. */
export type Outcome =
  | { readonly value: unknown }
  | { readonly code: string; readonly message: string; readonly hint: string | undefined };

const never = new AbortController().signal;
const MAX_BYTES = 16 * 1024 * 1024;
const JSON_TYPE = { contentType: "application/json" };

async function take(store: Store, directory: string, step: Step): Promise<unknown> {
  switch (step[0]) {
    case "put": {
      const body = Buffer.alloc(step[2], "x");
      const options = { ...JSON_TYPE, metadata: { bytes: `${step[2]}` } };
      return (await store.put(step[1], body, options, never)).bytes;
    }
    case "get":
      return (await store.get(step[1], { maxBytes: MAX_BYTES }, never)).metadata["bytes"];
    case "delete":
      return store.delete(step[1], never);
    case "list": {
      const keys: string[] = [];
      for await (const { key } of store.list("", never)) keys.push(key);
      return keys;
    }
    case "fill":
      return fill(join(directory, "filler"));
    case "files":
      return (await readdir(directory, { recursive: true })).toSorted();
  }
}

async function fill(path: string): Promise<string> {
  for (const size of [65_536, 4096, 1]) {
    for (let full = false; !full; ) {
      full = await appendFile(path, Buffer.alloc(size)).then(
        () => false,
        () => true,
      );
    }
  }
  return "full";
}

async function steps(directory: string, script: readonly Step[]): Promise<void> {
  await using store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  const outcomes: Outcome[] = [];
  for (const step of script) {
    try {
      outcomes.push({ value: (await take(store, directory, step)) ?? null });
    } catch (error) {
      const code = error instanceof StoreError ? error.code : "no StoreError";
      const hint = error instanceof StoreError ? error.hint : undefined;
      outcomes.push({ code, message: describeCause(error), hint });
    }
  }
  process.stdout.write(JSON.stringify(outcomes));
}

/** Adds 1 to the number in the object, `times` times, each time on condition that nobody else did meanwhile. */
async function count(directory: string, times: number): Promise<void> {
  await using store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  for (let done = 0; done < times; ) {
    const { body, version, metadata } = await store.get("n", { maxBytes: MAX_BYTES }, never);
    const next = `${Number(Buffer.from(body).toString()) + 1}`;
    if (metadata["n"] !== Buffer.from(body).toString()) throw new Error("a mixed pair");
    const options = { ...JSON_TYPE, metadata: { n: next }, when: { ifVersion: version } };
    try {
      await store.put("n", Buffer.from(next), options, never);
      done += 1;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_PRECONDITION_FAILED") throw error;
    }
  }
}

/** Overwrites the object until killed; the metadata say which bytes belong to it. */
async function overwrite(directory: string): Promise<void> {
  await using store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  for (let round = 0; ; round += 1) {
    const body = Buffer.alloc(200_000 + (round % 3), `${process.pid} ${round} `);
    const metadata = { sha256: createHash("sha256").update(body).digest("hex") };
    await store.put("dir/a", body, { ...JSON_TYPE, metadata }, never);
  }
}

/** Begins a turn on the object and keeps it until killed. */
async function hold(directory: string): Promise<void> {
  const turn = new Turn(filesOf(directory, "dir/a"), systemClock, new Locks(systemClock));
  await turn.prepare();
  await writeFile(turn.path("body"), "half a bo");
  await turn.begin(never);
  process.stdout.write("holding");
  await systemClock.sleep(3_600_000, never);
}

/** Puts once, and is killed at the step-th system call that could leave something behind: before it happens. */
async function putUntil(directory: string, step: number): Promise<void> {
  await using store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  const handle = await fs.open(process.execPath, "r");
  let steps = 0;
  const patch = (target: object, name: string): void => {
    const original: unknown = Reflect.get(target, name);
    if (typeof original !== "function") throw new Error(`there is no ${name}`);
    Reflect.set(target, name, function (this: unknown, ...given: readonly unknown[]) {
      steps += 1;
      if (steps === step) process.kill(process.pid, "SIGKILL");
      return Reflect.apply(original, this, given);
    });
  };
  for (const name of ["mkdir", "open", "rename", "rm", "rmdir", "unlink", "writeFile"]) {
    patch(fs, name);
  }
  for (const name of ["write", "utimes", "sync"]) patch(Object.getPrototypeOf(handle), name);
  await handle.close();
  // What the store imported by name are the patched ones now.
  syncBuiltinESMExports();
  const body = Buffer.from(`until ${step}`);
  const metadata = { sha256: createHash("sha256").update(body).digest("hex") };
  await store.put("dir/a", body, { ...JSON_TYPE, metadata }, never);
}

/** Begins a turn, opens files until none is left to open, and ends the turn. */
async function starve(directory: string): Promise<void> {
  const turn = new Turn(filesOf(directory, "dir/a"), systemClock, new Locks(systemClock));
  await turn.prepare();
  await writeFile(turn.path("body"), "half a bo");
  await turn.begin(never);
  const open: number[] = [];
  for (;;) {
    try {
      open.push(openSync(process.execPath, "r"));
    } catch {
      break;
    }
  }
  await turn[Symbol.asyncDispose]();
  process.stdout.write(`starved with ${open.length} open`);
  await systemClock.sleep(3_600_000, never);
}

/** Root becomes `nobody`; after start, for that one may not be able to run this Node. */
function dropPrivileges(): void {
  if (process.getuid?.() !== 0) return;
  process.setgroups?.([]);
  process.setgid?.(65_534);
  process.setuid?.(65_534);
}

const [mode, directory = "", argument = ""] = process.argv.slice(2);
if (mode === "unprivileged-steps") dropPrivileges();
if (mode === "steps" || mode === "unprivileged-steps") await steps(directory, JSON.parse(argument));
if (mode === "count") await count(directory, Number(argument));
if (mode === "overwrite") await overwrite(directory);
if (mode === "hold") await hold(directory);
if (mode === "put-until") await putUntil(directory, Number(argument));
if (mode === "starve") await starve(directory);
