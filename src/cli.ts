#!/usr/bin/env node
/**
 * The first to run, before anything else is loaded: the first process of a container is deaf to every
 * signal that it has no handler for, so one that came meanwhile would be lost.
 */

// Node keeps to itself what a package in node_modules uses of its deprecated parts; ours are bundled.
process.noDeprecation = true;

function leaveAtOnce(name: "SIGTERM" | "SIGINT"): void {
  process.exit(name === "SIGTERM" ? 143 : 130);
}

process.on("SIGTERM", leaveAtOnce);
process.on("SIGINT", leaveAtOnce);
const { main } = await import("./main.ts");
// Node 24 may load all of it without a turn of the event loop, in which signals are delivered.
await new Promise(setImmediate);
await main(() => {
  process.off("SIGTERM", leaveAtOnce);
  process.off("SIGINT", leaveAtOnce);
});
