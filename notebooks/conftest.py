"""nbval: TensorFlow's log at C level differs between machines and runs, so what went to stderr is not compared."""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
