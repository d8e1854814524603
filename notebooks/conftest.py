"""nbval does not compare stderr: TensorFlow's log at C level differs between machines."""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
