import { defineConfig } from "vitest/config";
import { SkippedReporter } from "./test/skipped.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/build.ts"],
    benchmark: { include: ["test/bench/**/*.bench.ts"] },
    reporters: ["default", new SkippedReporter()],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
