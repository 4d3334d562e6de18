import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { refuseLoop } from "../../../src/commands/serve/serve.ts";
import { type HostPort, parseHostPort } from "../../../src/core/host-port.ts";
import { SettingsError } from "../../../src/runtime/settings.ts";

function address(text: string): HostPort {
  const parsed = parseHostPort(text);
  assert.ok(parsed);
  return parsed;
}

/** On a machine called `gateway-1`. */
function check(listen: string, upstream: string): void {
  refuseLoop(address(listen), address(upstream), "gateway-1");
}

describe("serve before itself", () => {
  for (const [listen, upstream] of [
    ["127.0.0.1:8005", "127.0.0.1:8005"],
    ["127.0.0.1:8005", "localhost:8005"],
    ["127.0.0.1:8005", "0.0.0.0:8005"],
    ["0.0.0.0:8005", "127.0.0.1:8005"],
    ["0.0.0.0:8005", "127.0.0.2:8005"],
    ["0.0.0.0:8005", "[::1]:8005"],
    ["[::]:8005", "LOCALHOST:8005"],
    ["0.0.0.0:8005", "Gateway-1:8005"],
    ["sidecar.internal:8005", "sidecar.internal:8005"],
  ] as const) {
    it(`is refused: it listens on ${listen}, and its control plane is ${upstream}`, () => {
      assert.throws(
        () => check(listen, upstream),
        (error) => {
          assert.ok(error instanceof SettingsError);
          assert.ok(error.message.includes(`KONG_CLUSTER_CONTROL_PLANE: is ${upstream}`));
          assert.ok(error.message.includes(`KONG_FALLBACK_LISTEN is ${listen}`));
          return /real control plane/.test(error.hint ?? "");
        },
      );
    });
  }

  for (const [listen, upstream] of [
    ["127.0.0.1:8005", "127.0.0.1:8015"],
    ["127.0.0.1:8005", "control-plane:8005"],
    ["127.0.0.1:8005", "127.0.0.2:8005"],
    // The control plane of the same machine may listen on its outer address only.
    ["127.0.0.1:8005", "gateway-1:8005"],
    ["10.0.0.7:8005", "127.0.0.1:8005"],
    ["0.0.0.0:8005", "10.0.0.7:8005"],
    ["0.0.0.0:8005", "127.example.com:8005"],
  ] as const) {
    it(`is not suspected: it listens on ${listen}, and its control plane is ${upstream}`, () => {
      check(listen, upstream);
    });
  }
});
