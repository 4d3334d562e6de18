/** The election by a Kubernetes Lease: conformance over a fake of the API. */

import { electionConformance } from "./conformance.ts";
import { KubernetesWorld } from "./kubernetes-world.ts";

electionConformance("KubernetesElection over the fake API", {
  open: () => KubernetesWorld.open(),
  histories: 8,
});
