/** A reporter that says at the end of a run what was skipped and why, and what passed only when it was tried again, instead of leaving it among a thousand lines. */

import type { Reporter, TestCase, TestModule, Vitest } from "vitest/node";

/** A suite or test that is skipped says why in its title: see `titled` in servers/locate.ts and `promised` in store/conformance. */
const REASON = /\((?:skipped|not promised here): (.*)\)$/;

export class SummaryReporter implements Reporter {
  /** By `npx vitest run -t NAME`: then what has no reason was not asked for. */
  #isNarrowed = false;

  onInit(vitest: Vitest): void {
    this.#isNarrowed = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    const flaky: string[] = [];
    for (const module of modules) {
      for (const test of module.children.allTests("passed")) {
        if (test.diagnostic()?.flaky === true) flaky.push(`${module.moduleId}: ${test.fullName}`);
      }
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
    print("Skipped", lines);
    print("Passed only when tried again, each a test to mend", flaky);
  }
}

function print(title: string, lines: readonly string[]): void {
  process.stdout.write(
    lines.length === 0 ? `${title}: none\n` : `${title}:\n${lines.join("\n")}\n`,
  );
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
