/** What an exporter says that is elected by a Lease of Kubernetes. */

import { kubeconfigText } from "../../election/kubernetes-world.ts";
import { FakeLeaseApi, status } from "../../fakes/lease-api.ts";
import { Pause } from "../../fakes/pause.ts";
import { newSecret } from "../canaries.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";
import { echo, exporting, SAVED } from "./export.ts";

const NOT_ELECTED = (line: Readonly<Record<string, unknown>>) =>
  JSON.stringify(line).includes("ELECTION_");

async function cluster(world: World, api: FakeLeaseApi) {
  const token = world.canaries.plant("kube-token", "the token of the kubeconfig", newSecret());
  const caller = api.connect(new Pause(), token);
  const text = kubeconfigText(api.endpoint, token);
  const env = {
    KONG_FALLBACK_ELECTION: "kubernetes",
    KONG_FALLBACK_ELECTION_NAMESPACE: "kong",
    KUBECONFIG: await world.give("kubeconfig", text),
  };
  return { caller, token, text, env };
}

export const KUBERNETES_SURFACES: readonly Surface[] = [
  {
    name: "export elected by Kubernetes: log, pages, the Lease",
    commands: ["export"],
    run: async (world) => {
      await using api = await FakeLeaseApi.start();
      const { env } = await cluster(world, api);
      await exporting(world, env, SAVED);
      for (const [name, lease] of api.leases) world.saw(`Lease ${name}`, JSON.stringify(lease));
    },
  },
  {
    name: "export elected by Kubernetes, whose API refuses and repeats the token and all else",
    commands: ["export"],
    run: async (world) => {
      await using api = await FakeLeaseApi.start();
      const { caller, token, env } = await cluster(world, api);
      for (const message of [
        `invalid bearer token ${token}`,
        `token "${token}" has expired`,
        `Authorization: Bearer ${token}`,
        `{"token":"${token}"}`,
        echo(world),
      ]) {
        for (const code of [401, 403, 422, 500]) {
          caller.answer = status(code, message, message);
          await exporting(world, env, NOT_ELECTED);
        }
      }
      for (const body of [token, `<html>${echo(world)}</html>`, JSON.stringify(echo(world))]) {
        caller.answer = { status: 200, body };
        await exporting(world, env, NOT_ELECTED);
      }
    },
  },
  {
    name: "kubeconfigs that are damaged, and commands in them that fail and print a token",
    commands: ["export"],
    run: async (world) => {
      await using api = await FakeLeaseApi.start();
      const { text, token, env } = await cluster(world, api);
      const user = {
        exec: {
          apiVersion: "client.authentication.k8s.io/v1",
          command: process.execPath,
          args: ["-e", `console.log("${token}"); console.error("${token}"); process.exit(1)`],
          interactiveMode: "Never",
        },
      };
      const config = JSON.parse(text) as object;
      const failing = JSON.stringify({ ...config, users: [{ name: "test", user }] });
      const broken = [text.slice(0, -9), `${text}${text}`, token, `token: ${token}\n  bad: [`];
      for (const content of broken) {
        const KUBECONFIG = await world.give("broken", content);
        await world.run(["export"], { env: { ...env, KUBECONFIG }, status: 2 });
      }
      const KUBECONFIG = await world.give("failing", failing);
      await exporting(world, { ...env, KUBECONFIG }, NOT_ELECTED);
    },
  },
];
