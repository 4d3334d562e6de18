import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { SummaryReporter } from "./test/summary.ts";

/** Nothing in these folders changes what all files of a process share, so they load the code once for all, in half the processor time. */
const SHARING = [
  "commands",
  "core",
  "election",
  "exporter",
  "fakes",
  "importer",
  "kong",
  "maintenance",
  "network",
  "runtime",
  "sidecar",
  "snapshots",
  "source",
].map((folder) => `test/${folder}/**/*.test.ts`);

export default defineConfig({
  test: {
    globalSetup: ["test/build.ts"],
    benchmark: { include: ["test/bench/**/*.bench.ts"] },
    reporters: ["default", new SummaryReporter()],
    // Most tests wait for a process or a server: on two cores, two at a time take little more than half as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // A landing must not be lost to a machine that stood still; the summary names what needed it.
    retry: process.env["CI"] === undefined ? 0 : 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "sharing", include: SHARING, isolate: false } },
      {
        extends: true,
        test: { name: "apart", include: ["test/**/*.test.ts"], exclude: SHARING },
      },
    ],
  },
});
