/** A reporter that says at the end of a run what was skipped and why, instead of leaving it among a thousand lines. */

import type { Reporter, TestCase, TestModule } from "vitest/node";

/** A suite or test that is skipped says why in its title: see `titled` in servers/locate.ts and `promised` in store/conformance. */
const REASON = /\((?:skipped|not promised here): (.*)\)$/;

/** A developer's own choice: `npx vitest run -t NAME`. */
const NARROWED = "not asked for";

export class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const reasons = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const reason = reasonOf(test);
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    reasons.delete(NARROWED);
    const lines = [...reasons]
      .sort(([, a], [, b]) => b - a)
      .map(([reason, tests]) => `${String(tests).padStart(6)}  ${reason}`);
    process.stdout.write(
      lines.length === 0 ? "Nothing was skipped.\n\n" : `Skipped:\n${lines.join("\n")}\n\n`,
    );
  }
}

function reasonOf(test: TestCase): string {
  const { note } = test.result() as { readonly note?: string | undefined };
  if (note !== undefined) return note;
  for (let at: TestCase | TestCase["parent"] = test; at.type !== "module"; at = at.parent) {
    const reason = REASON.exec(at.name)?.[1];
    if (reason !== undefined) return reason;
  }
  return test.options.mode === "run" ? NARROWED : `no reason is given: ${test.fullName}`;
}
