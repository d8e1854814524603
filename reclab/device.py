"""What the machine computes with."""


def gpus() -> list[str]:
    """The names of the GPUs that TensorFlow can use.

    >>> all(isinstance(name, str) for name in gpus())
    True
    """
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices]


def advise() -> None:
    """Say what was found, and what to do on Colab when it is no GPU."""
    if names := gpus():
        print(f"GPU: {', '.join(names)}")
    else:
        print(
            "No GPU is on. Every notebook runs without one. To have one where networks are trained (03 and 05): "
            "Runtime > Change runtime type > T4 GPU."
        )
