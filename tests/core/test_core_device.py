"""The core as a device: its registers, what it refuses, how it stops, and how it starts again."""

import struct

import numpy as np
import pytest

from edge_runtime import core_model as device
from edge_runtime import integer
from edge_runtime.core_model import CoreModel
from edge_runtime.layers import Conv
from quantize.core.compiler import compile_core
from quantize.core.program import HEADER_WORDS, INSTRUCTION_WORDS
from tests.core.conftest import SMALL
from tests.core_networks import chain, images

SEED = 11  # a network of several layers whose weights stay on chip


@pytest.fixture(scope="module")
def network():
    """A network that `SMALL` runs with its weights on chip, and inputs."""
    for seed in range(SEED, SEED + 50):
        rng = np.random.default_rng(seed)
        found = chain(rng, 40)
        pixels = int(np.prod(found.input_shape))
        if len(found.layers) < 3 or pixels < 16 or not isinstance(found.layers[0], Conv):
            continue
        compiled = compile_core(found, SMALL)
        if compiled.program.resident:
            return found, compiled.image(), images(rng, found, 4)
    raise AssertionError("no such network")


def start(core: CoreModel, image, *, watchdog: int = 20_000) -> None:
    """Reset the core, let it run, with a short watchdog."""
    core.write(device.CONTROL, device.SOFT_RESET)
    core.write(device.WATCHDOG, watchdog)
    core.write(device.CONTROL, device.RUN)


def expect_error(core: CoreModel, error: str, cycles: int = 200_000) -> None:
    """The core stops with this error, tells it by its interrupt, and takes all that is sent."""
    core.write(device.IRQ_ENABLE, 2)
    used = core.run(cycles, until_interrupt=True)
    assert used < cycles, "no interrupt"
    assert core.error == error
    core.run(20_000)
    assert [core.pending(s) for s in range(3)] == [0, 0, 0], "a sender would hang"
    assert not core.read(device.STATUS) & 1, "still busy"


def expect_recovery(core: CoreModel, network) -> None:
    """After a soft reset the core computes as ever."""
    net, image, inputs = network
    core.receive(10_000)
    found = core.classify(image, inputs[:1])
    np.testing.assert_array_equal(found, integer.run(net, inputs[:1]))


def test_registers_say_what_the_core_is(small):
    assert small.read(0x00) == int.from_bytes(b"EGC1", "little")
    assert small.read(0x04) == 1 << 24 | SMALL.pair << 16 | SMALL.lanes
    assert (small.read(0x08), small.read(0x0C)) == (SMALL.weight_depth, SMALL.activation_depth)
    assert small.read(0xFC) == 0
    small.write(device.WATCHDOG, 0x12345678)
    assert small.read(device.WATCHDOG) == 0x12345678


def test_interrupt_and_counters(small, network):
    _, image, inputs = network
    small.load(image)
    small.write(device.IRQ_ENABLE, 1)
    assert not small.interrupt
    small.send(device.IMAGE, inputs[0].tobytes())
    small.run(100_000, until_interrupt=True)
    assert small.interrupt
    assert small.read(device.IRQ_STATUS) == 1
    small.write(device.IRQ_STATUS, 1)
    assert not small.interrupt
    assert small.read(device.IMAGES) == 1
    assert 0 < small.read(device.STEPS) < small.read(device.CYCLES)


def test_all_streams_by_registers(small, network):
    net, image, inputs = network
    small.write(device.CONTROL, device.SOFT_RESET)
    small.write(device.CONTROL, device.RUN | device.BY_REGISTERS)

    def send(address: int, data: bytes) -> None:
        data += bytes(-len(data) % 4)
        words = struct.unpack(f"<{len(data) // 4}I", data)
        for word in words[:-1]:
            small.write(address, word)
        small.write(address + device.LAST, words[-1])

    send(device.PROGRAM_BEAT, image.program)
    send(device.WEIGHT_BEAT, image.weights)
    for given in inputs[:2]:
        send(device.IMAGE_BEAT, given.tobytes())
        found: list[int] = []
        for _ in range(2_000):
            found += [small.read(device.LOGIT) for _ in range(small.read(device.WAITING))]
            small.run(16)
        logits = np.array(found, np.uint32).astype(np.int32)
        np.testing.assert_array_equal(logits, integer.run(net, given[np.newaxis])[0])
    assert small.error is None


def test_next_image_loads_while_one_computes(small, network):
    net, image, inputs = network
    small.load(image)
    for given in inputs:
        small.send(device.IMAGE, given.tobytes())
    beats = -(-inputs[0].size // 4)
    while not small.read(device.STATUS) & 1:  # until the first one is computed
        small.run(1)
    small.run(2 * beats)
    assert small.read(device.IMAGES) == 0
    assert small.pending(device.IMAGE) == 2 * beats, "two of four images are in the core"
    classes = device.logits_of(image)
    small.run(200_000, 4 * classes)
    np.testing.assert_array_equal(
        small.receive(4 * classes)[0].reshape(4, -1), integer.run(net, inputs)
    )


@pytest.mark.parametrize("by", ["line", "register"])
@pytest.mark.parametrize("after", [5, 60, 400, 900, 1500])
def test_reset_in_the_middle(small, network, after, by):
    """Nothing is left of what was under way: program, weights, images, sums, logits."""
    _, image, inputs = network
    small.load(image)
    for given in inputs:
        small.send(device.IMAGE, given.tobytes())
    small.run(after)
    for stream in range(3):
        small.drop(stream)
    if by == "line":
        small.reset()
    else:
        small.write(device.CONTROL, device.SOFT_RESET)
    assert small.read(device.STATUS) & 0xFF07 == 0
    expect_recovery(small, network)


def test_a_reset_in_the_cycle_of_an_error_or_of_the_end(small, network):
    """Whenever it comes: afterwards there is no error, no image, no interrupt."""
    _, image, inputs = network
    start(small, image)
    small.send(device.PROGRAM, image.program)
    small.send(device.WEIGHTS, image.weights)
    small.run(3_000)
    small.send(device.IMAGE, inputs[0].tobytes())
    begun = small.cycles
    small.write(device.IRQ_ENABLE, 1)
    small.run(100_000, until_interrupt=True)
    ends = small.cycles - begun  # from here to the interrupt
    for when in [*range(24), *range(ends - 12, ends + 4)]:
        start(small, image)
        bad = when < 24
        small.send(device.PROGRAM, bytes(4) if bad else image.program)
        if not bad:
            small.send(device.WEIGHTS, image.weights)
            small.run(3_000)
            small.send(device.IMAGE, inputs[0].tobytes())
        small.run(when)
        small.write(device.CONTROL, device.SOFT_RESET)
        assert small.read(device.STATUS) & 0xFF00 == 0
        assert small.read(device.IRQ_STATUS) == small.read(device.IMAGES) == 0
    expect_recovery(small, network)


def damaged(image, word: int, value: int) -> bytes:
    """A program with another word, and the checksum made good."""
    words = list(struct.unpack(f"<{len(image.program) // 4}I", image.program))
    words[word] = value & 0xFFFFFFFF
    words[7] = (words[7] - sum(words)) & 0xFFFFFFFF
    return struct.pack(f"<{len(words)}I", *words)


def field(image, word: int) -> int:
    (value,) = struct.unpack_from("<I", image.program, 4 * (HEADER_WORDS + word))
    return value


@pytest.mark.parametrize(
    ("word", "value", "error"),
    [
        (0, 0x12345678, "not a program"),
        (1, 1 << 24 | 64, "another core"),
        (1, 2 << 24 | 32, "another core"),
        (2, 0, "not a program"),
        (2, 10_000, "not a program"),
        (4, 2, "not a program"),
        (5, 0, "not a program"),
        (5, 1 << 20, "not a program"),
        (6, 0, "not a program"),
    ],
)
def test_illegal_headers(small, network, word, value, error):
    _, image, _ = network
    start(small, image)
    small.send(device.PROGRAM, damaged(image, word, value))
    expect_error(small, error)
    expect_recovery(small, network)


def test_program_checksum_and_length(small, network):
    _, image, _ = network
    for data, error in (
        (image.program[:-1] + bytes([image.program[-1] ^ 1]), "program checksum"),
        (image.program[:-4], "program length"),
        (image.program + bytes(4), "program length"),
        (image.program[:16], "program length"),
    ):
        start(small, image)
        small.send(device.PROGRAM, data)
        expect_error(small, error)
        expect_recovery(small, network)


ILLEGAL = {
    "operation": (0, lambda w: w ^ 1 << 25),
    "unknown flag": (0, lambda w: w | 1 << 5),
    "no rows": (2, lambda w: w & ~0xFF),
    "no columns out": (2, lambda w: w & 0xFFFF),
    "no pixels": (3, lambda w: w & ~0xFFFF),
    "no kernel": (4, lambda w: w & ~0xF),
    "no stride": (4, lambda w: w & ~0xF00),
    "no words": (5, lambda w: w & ~0xFFFF),
    "17 channels in a word": (5, lambda w: w & 0xFFFF | 17 << 16),
    "channels out": (8, lambda w: w & 0xFFFF | 33 << 16),
    "weights beyond the memory": (9, lambda w: w & ~0xFFFF | 257),
    "no weights": (9, lambda w: w & ~0xFFFF),
    "shift": (10, lambda w: w & ~0x1F | 25),
    "shift of the bias": (10, lambda w: w & ~0x1F00 | 17 << 8),
    "multiplier": (11, lambda w: w | 1 << 8),
}


@pytest.mark.parametrize("what", ILLEGAL)
def test_illegal_instructions(small, network, what):
    _, image, inputs = network
    word, change = ILLEGAL[what]
    start(small, image)
    small.send(device.PROGRAM, damaged(image, HEADER_WORDS + word, change(field(image, word))))
    small.send(device.WEIGHTS, image.weights)
    small.send(device.IMAGE, inputs[0].tobytes())
    expect_error(small, "illegal instruction")
    assert small.read(device.STATUS) >> 16 == 0, "the instruction's number"
    expect_recovery(small, network)


def test_windows_in_the_padding_alone(small, network):
    """Legal field by field; a group of pixels without any tap on the map ends in an error."""
    _, image, inputs = network
    start(small, image)
    word = field(image, 4) & 0xFFFF | 15 << 16 | 15 << 20
    small.send(device.PROGRAM, damaged(image, HEADER_WORDS + 4, word))
    small.send(device.WEIGHTS, image.weights)
    small.send(device.IMAGE, inputs[0].tobytes())
    expect_error(small, "empty group")
    expect_recovery(small, network)


def test_another_number_of_logits(small, network):
    _, image, inputs = network
    for more in (-1, 1):
        start(small, image)
        small.send(device.PROGRAM, damaged(image, 6, device.logits_of(image) + more))
        small.send(device.WEIGHTS, image.weights)
        small.send(device.IMAGE, inputs[0].tobytes())
        expect_error(small, "number of logits")
        expect_recovery(small, network)


def test_random_programs_never_hang(small, network):
    """Any bits in any instruction: logits or an error, and the core can be started again."""
    _, image, inputs = network
    rng = np.random.default_rng(5)
    words = HEADER_WORDS + INSTRUCTION_WORDS * struct.unpack_from("<I", image.program, 8)[0]
    ended = set()
    for _ in range(60):
        start(small, image, watchdog=50_000)
        word = int(rng.integers(HEADER_WORDS, words))
        (before,) = struct.unpack_from("<I", image.program, 4 * word)
        change = damaged(image, word, before ^ 1 << int(rng.integers(0, 32)))
        small.send(device.PROGRAM, change)
        small.send(device.WEIGHTS, image.weights)
        small.send(device.IMAGE, inputs[0].tobytes())
        small.write(device.IRQ_ENABLE, 3)
        assert small.run(3_000_000, until_interrupt=True) < 3_000_000
        ended.add(small.error)
        small.reset()
    assert {None, "illegal instruction"} <= ended
    expect_recovery(small, network)


@pytest.mark.parametrize(
    ("stream", "change", "error"),
    [
        (device.WEIGHTS, -8, "weights length"),
        (device.WEIGHTS, 8, "weights length"),
        (device.IMAGE, -4, "image length"),
        (device.IMAGE, 4, "image length"),
    ],
)
def test_packets_of_another_length(small, network, stream, change, error):
    _, image, inputs = network
    start(small, image)
    small.send(device.PROGRAM, image.program)
    packets = {device.WEIGHTS: image.weights, device.IMAGE: inputs[0].tobytes()}
    for each, data in packets.items():
        data += bytes(-len(data) % 4)
        wrong = data + bytes(change) if change > 0 else data[:change]
        small.send(each, wrong if each == stream else data)
    expect_error(small, error)
    expect_recovery(small, network)


@pytest.mark.parametrize("stream", [device.PROGRAM, device.WEIGHTS, device.IMAGE])
def test_packets_that_end_without_their_end(small, network, stream):
    """A sender that stops in the middle: the watchdog says so."""
    _, image, inputs = network
    start(small, image)
    packets = [image.program, image.weights, inputs[0].tobytes()]
    for each in range(stream):
        small.send(each, packets[each])
    small.send(stream, packets[stream][:8], last=False)
    expect_error(small, "watchdog")
    expect_recovery(small, network)


@pytest.mark.parametrize("resident", [0, 1])
def test_weights_of_a_program_without_any(small, network, resident):
    """However many come, and without an end: an error, and all are taken."""
    _, image, _ = network
    start(small, image)
    program = damaged(image, 3, 0)
    words = list(struct.unpack(f"<{len(program) // 4}I", program))
    words[7] = (words[7] + words[4] - resident) & 0xFFFFFFFF
    words[4] = resident
    small.send(device.PROGRAM, struct.pack(f"<{len(words)}I", *words))
    small.send(device.WEIGHTS, bytes(2 * SMALL.lanes * SMALL.weight_depth), last=False)
    expect_error(small, "weights length")
    expect_recovery(small, network)


def test_resident_weights_sent_again(small, network):
    _, image, _ = network
    start(small, image)
    small.send(device.PROGRAM, image.program)
    small.send(device.WEIGHTS, image.weights)
    small.send(device.WEIGHTS, image.weights)
    expect_error(small, "weights length")
    expect_recovery(small, network)


def test_logits_that_nobody_takes(small, network):
    """Sixty-four may wait for ever; a core that is held up by more says so."""
    _, image, inputs = network
    start(small, image)
    small.send(device.PROGRAM, image.program)
    small.send(device.WEIGHTS, image.weights)
    small.run(20_000)
    small.write(device.CONTROL, device.RUN | device.BY_REGISTERS)
    beats = -(-inputs[0].size // 4)
    full = -(-65 // device.logits_of(image))  # with so many images
    for n in range(full):
        for i in range(beats):
            small.write(device.IMAGE_BEAT + (device.LAST if i == beats - 1 else 0), 0)
        if n < full - 1:
            small.run(60_000)
            assert small.error is None
    expect_error(small, "watchdog")
    expect_recovery(small, network)


def test_overrun(small, network):
    """A beat written to a register when the core cannot take it: both images are full."""
    _, image, inputs = network
    small.load(image)
    small.run(20_000)
    small.write(device.CONTROL, device.BY_REGISTERS)  # not running
    beats = -(-inputs[0].size // 4)
    for _ in range(2):
        for i in range(beats):
            small.write(device.IMAGE_BEAT + (device.LAST if i == beats - 1 else 0), 0)
    assert small.error is None
    small.write(device.IMAGE_BEAT, 0)
    small.run(4)  # from the beat to the register
    assert small.error == "overrun"
