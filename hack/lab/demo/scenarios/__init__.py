"""The scenarios of `hack/demo --scenario`, a module each (`lab.demo.scenario`)."""
