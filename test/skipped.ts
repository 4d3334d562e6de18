/** A reporter that says at the end of a run what was skipped and why, instead of leaving it among a thousand lines. */

import type { Reporter, TestCase, TestModule, Vitest } from "vitest/node";

/** A suite or test that is skipped says why in its title: see `titled` in servers/locate.ts and `promised` in store/conformance. */
const REASON = /\((?:skipped|not promised here): (.*)\)$/;

export class SkippedReporter implements Reporter {
  /** By `npx vitest run -t NAME`: then what has no reason was not asked for. */
  #isNarrowed = false;

  onInit(vitest: Vitest): void {
    this.#isNarrowed = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const reason = reasonOf(test);
        if (reason === undefined && this.#isNarrowed) continue;
        const told = reason ?? `no reason is given: ${test.fullName}`;
        reasons.set(told, (reasons.get(told) ?? 0) + 1);
      }
    }
    const lines = [...reasons]
      .sort(([, a], [, b]) => b - a)
      .map(([reason, tests]) => `${String(tests).padStart(6)}  ${reason}`);
    process.stdout.write(
      lines.length === 0 ? "Nothing was skipped.\n\n" : `Skipped:\n${lines.join("\n")}\n\n`,
    );
  }
}

function reasonOf(test: TestCase): string | undefined {
  const { note } = test.result() as { readonly note?: string | undefined };
  if (note !== undefined) return note;
  for (let at: TestCase | TestCase["parent"] = test; at.type !== "module"; at = at.parent) {
    const reason = REASON.exec(at.name)?.[1];
    if (reason !== undefined) return reason;
  }
  return undefined;
}
