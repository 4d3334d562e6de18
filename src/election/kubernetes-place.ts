/** The Lease of one campaign in Kubernetes: told apart by its holder's identity, its acquisitions by their count. */

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import type { KubernetesLease, LeaseDraft, LeaseResource } from "./kubernetes-lease.ts";
import type { LeasePlace, SeenLease } from "./lease-place.ts";

export interface KubernetesPlaceOptions {
  readonly resource: LeaseResource;
  readonly exporter: { readonly id: string; readonly hostname: string };
  readonly ttlMs: number;
  readonly clock: Clock;
}

export interface SeenKubernetesLease extends KubernetesLease, SeenLease {}

export class KubernetesPlace implements LeasePlace<SeenKubernetesLease> {
  readonly server = "the API server";
  readonly #options: KubernetesPlaceOptions;
  /** As client-go's: a UUID for each campaign, so that two exporters that were given one id are told apart all the same. */
  readonly #identity: string;

  constructor(options: KubernetesPlaceOptions) {
    const { hostname, id } = options.exporter;
    this.#options = options;
    this.#identity = `${hostname}_${id}_${randomUUID()}`;
  }

  get name(): string {
    return this.#options.resource.name;
  }

  /** Every API server compares the resourceVersion. */
  async check(): Promise<void> {}

  async read(signal: AbortSignal): Promise<SeenKubernetesLease | undefined> {
    const found = await this.#options.resource.read(signal);
    return found && this.#see(found);
  }

  take(token: number, over: SeenKubernetesLease | undefined, signal: AbortSignal) {
    const transitions = (over?.transitions ?? 0) + 1;
    const acquiredAt = this.#options.clock.now();
    return this.#write({ ...this.#held(), token, transitions, acquiredAt }, over, signal);
  }

  renew(held: SeenKubernetesLease, signal: AbortSignal) {
    const { token, transitions } = held;
    return this.#write({ ...this.#held(), token, transitions }, held, signal);
  }

  /** kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go:release */
  release(held: SeenKubernetesLease, signal: AbortSignal) {
    const { token, transitions } = held;
    const acquiredAt = this.#options.clock.now();
    const draft = { holder: "", ttlSeconds: 1, token, transitions, acquiredAt };
    return this.#write(draft, held, signal);
  }

  /** Others wait for whole seconds. */
  #held(): { readonly holder: string; readonly ttlSeconds: number } {
    return { holder: this.#identity, ttlSeconds: Math.ceil(this.#options.ttlMs / 1_000) };
  }

  async #write(
    draft: Omit<LeaseDraft, "renewedAt">,
    over: SeenKubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<SeenKubernetesLease | undefined> {
    const { clock, resource } = this.#options;
    const written = await resource.write({ ...draft, renewedAt: clock.now() }, over, signal);
    return written && this.#see(written);
  }

  #see(lease: KubernetesLease): SeenKubernetesLease {
    return {
      ...lease,
      isOurs: lease.holder === this.#identity,
      sequence: lease.transitions,
      protectedMs: lease.holder === "" ? 0 : lease.ttlMs,
    };
  }
}
