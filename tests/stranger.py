# SPDX-License-Identifier: MIT
"""A client and a service of the protocol, written from docs/PROTOCOL.md alone, without the library.

The comments name the steps of that document. Words of shared memory are loaded and stored whole. Python has no atomic
exchange: a load and a store take its place, which is the same as long as the tests' callers do not withdraw a frame
that is being taken. The order of steps is that of x86, where only a store and a later load change places: fence() keeps
them apart. Other machines may reorder more, so strangers.py does not run there.
"""

import fcntl
import mmap
import os
import select
import socket
import struct
import threading

HANG = 200  # seconds: for hangs only
MAGIC = 0x4c4d5331
INCOMPATIBLE = 0xf8000001
READY, TAKEN = 0, 1
MESSAGE, PIECE, ABORT, DROPPED, STATUS, GIVEN_UP = 1, 2, 3, 5, 7, 128
PAGE, LINE = 4096, 64
TAIL, ORIGIN, PRODUCER_WAITS, HEAD, CONSUMER_SLEEPS = 0, 4, 64, 128, 192  # of a ring
WELCOMED, LARGEST_MESSAGE, VERSION, LOWEST, HIGHEST, IGNORABLE, REQUIRED = 512, 516, 520, 524, 528, 532, 536
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
HEADER = struct.Struct('=4Ii3I')

_lock = threading.Lock()


class Ended(Exception):
    """The other side closed the socket."""


class Refused(Exception):
    """A refusal came; its bytes are the argument."""


class Hung(Exception):
    """Nothing happened for HANG seconds."""


class Broken(Exception):
    """The other side broke the protocol."""


def fence():
    """Lets all stores come before all later loads: taking a lock is a locked instruction."""
    with _lock:
        pass


def await_readable(*files):
    ready = select.select(files, [], [], HANG)[0]
    if not ready:
        raise Hung(f'nothing to read for {HANG} seconds')
    return ready


def hello(lowest=1, highest=1, ignorable=0, required=0, magic=MAGIC, rings=(PAGE, PAGE), order='=', more=b''):
    """Returns the bytes of a hello: section 3."""
    return struct.pack(order + '16I', magic, lowest, highest, ignorable, required, *rings, 1 << 20, *[0] * 8) + more


def refusal(status=INCOMPATIBLE, lowest=2, highest=3, features=0, order='=', more=b''):
    return struct.pack(order + '8I', MAGIC, status, lowest, highest, features, 0, 0, 0) + more


class Memory:
    """The words of a channel's memfd: section 4."""

    def __init__(self, descriptor, size):
        self.bytes = mmap.mmap(descriptor, size)
        self.words = memoryview(self.bytes).cast('I')

    def load(self, offset):
        return self.words[offset // 4]

    def store(self, offset, value):
        self.words[offset // 4] = value & 0xffffffff

    def close(self):
        self.words.release()
        self.bytes.close()


class Frame:
    def __init__(self, header, payload):
        (self.state, self.kind, self.length, self.token, self.identifier, self.total, self.descriptors,
         self.deadline) = header
        self.payload = payload


class Ring:
    """One direction of a channel: its words are at `at`, its bytes at `start`."""

    def __init__(self, memory, at, start, size):
        self.memory, self.at, self.start, self.size = memory, at, start, size
        self.index = 0   # this side's own, 64 bits wide
        self.origin = 0  # the producer's; this one's own stays 0
        self.was_empty = True

    def load(self, word):
        return self.memory.load(self.at + word)

    def store(self, word, value):
        self.memory.store(self.at + word, value)

    def used(self):
        """P1 and C1: the bytes in the ring, for either side."""
        other, own = (self.load(TAIL), self.index) if self.consumes else (self.index, self.load(HEAD))
        used = (other - own) & 0xffffffff
        if used > self.size or used % LINE:
            raise Broken(f'{used} bytes in a ring of {self.size}')
        return used

    def place(self, position):
        return self.start + (position - self.origin) % self.size

    def write(self, position, data):
        at = self.place(position)
        first = min(len(data), self.start + self.size - at)
        self.memory.bytes[at:at + first] = data[:first]
        self.memory.bytes[self.start:self.start + len(data) - first] = data[first:]

    def read(self, position, length):
        at = self.place(position)
        first = min(length, self.start + self.size - at)
        return self.memory.bytes[at:at + first] + self.memory.bytes[self.start:self.start + length - first]


def padded(length):
    return (HEADER.size + length + LINE - 1) // LINE * LINE


class Channel:
    """Either side of a channel, when the hello has been sent."""

    def __init__(self, connection, memory, rings, is_client):
        self.socket, self.memory = connection, memory
        requests = Ring(memory, 0, PAGE, rings[0])
        replies = Ring(memory, 256, PAGE + rings[0], rings[1])
        self.out, self.into = (requests, replies) if is_client else (replies, requests)
        self.out.consumes, self.into.consumes = False, True

    def close(self):
        self.socket.close()
        self.memory.close()

    def ring_if(self, ring, flag):
        """P6 and C6. A bell for which the queue has no room is not needed; one to a dead process is of no use."""
        fence()
        if ring.load(flag):
            ring.store(flag, 0)
            try:
                self.socket.send(b'\1', socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass

    def sleep(self, ring, flag, goes_on):
        """S1 to S3 and W1 to W3."""
        ring.store(flag, 1)
        fence()
        if not goes_on():
            await_readable(self.socket)
            self.read_record()

    def read_record(self):
        record = self.socket.recv(8192)
        if not record:
            raise Ended()
        if len(record) >= 32:
            raise Refused(record)
        if len(record) != 1:
            raise Broken(f'a record of {len(record)} bytes')

    def put(self, kind, token=0, identifier=0, payload=b'', total=None, deadline=0):
        need = padded(len(payload))
        room = self.out.size - (0 if kind == ABORT else LINE)  # an abort always has room

        def has_room():
            return room - self.out.used() >= need

        while not has_room():
            self.sleep(self.out, PRODUCER_WAITS, has_room)
        total = len(payload) if total is None else total
        header = HEADER.pack(READY, kind, len(payload), token, identifier, total, 0, deadline)
        self.out.write(self.out.index, header + payload)  # P4
        self.out.index += need
        self.out.store(TAIL, self.out.index)  # P5
        self.ring_if(self.out, CONSUMER_SLEEPS)

    def put_large(self, token, identifier, payload, part):
        for at in range(0, len(payload) - part, part):
            self.put(PIECE, token, identifier, payload[at:at + part], len(payload))
        last = (len(payload) - 1) // part * part
        self.put(MESSAGE, token, identifier, payload[last:], len(payload))

    def take(self):
        """C1 to C6; returns None if there is no frame."""
        ring, used = self.into, self.into.used()
        if used == 0:
            ring.was_empty = True
            return None
        if ring.was_empty:
            ring.origin = ring.load(ORIGIN)
        header = HEADER.unpack(ring.read(ring.index, HEADER.size))  # C2
        size = padded(header[2])
        if size > used:
            raise Broken(f'a frame of {size} bytes in {used}')
        payload = ring.read(ring.index + HEADER.size, header[2])  # C3
        self.memory.store(ring.place(ring.index), TAKEN)  # C4
        ring.index += size
        ring.was_empty = used == size
        ring.store(HEAD, ring.index)  # C5
        self.ring_if(ring, PRODUCER_WAITS)
        return Frame(header, payload) if header[0] == READY else self.take()

    def next_frame(self):
        """Waits for a frame."""
        frame = self.take()
        while frame is None:
            self.sleep(self.into, CONSUMER_SLEEPS, lambda: self.into.used() > 0)
            frame = self.take()
        self.into.store(CONSUMER_SLEEPS, 0)
        return frame

    def next_message(self):
        """Waits for a message, whole or in pieces; returns its last frame with the whole payload."""
        payload = b''
        while True:
            frame = self.next_frame()
            payload += frame.payload
            if frame.kind != PIECE:
                frame.payload = payload
                return frame


def sealed_memory(size):
    descriptor = os.memfd_create('stranger', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


class Client(Channel):
    """H1 to H3, with any record as the hello, and without the memfd if that is not to be sent."""

    def __init__(self, path, record, rings=(PAGE, PAGE), sends_memory=True):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(path)
        size = PAGE + sum(rings)
        descriptor = sealed_memory(size)
        super().__init__(connection, Memory(descriptor, size), rings, True)
        socket.send_fds(connection, [record], [descriptor] if sends_memory else [])
        os.close(descriptor)
        self.token = 0

    def fate(self):
        """Waits for H5: returns 'welcome', 'closed' or the bytes of the refusal."""
        try:
            while not self.memory.load(WELCOMED):
                self.sleep(self.into, CONSUMER_SLEEPS, lambda: self.memory.load(WELCOMED))
            return 'welcome'
        except (Ended, ConnectionResetError):
            return 'closed'
        except Refused as refused:
            return refused.args[0]

    def ask(self, identifier, payload=b'', deadline=0):
        """Sends a request and returns its token."""
        self.token += 1
        self.put(MESSAGE, self.token, identifier, payload, deadline=deadline)
        return self.token

    def call(self, identifier, payload=b'', deadline=0):
        token = self.ask(identifier, payload, deadline)
        return self.reply_to(token)

    def reply_to(self, token):
        while True:
            frame = self.next_message()
            if frame.token == token:
                return frame

    def announce_sleep(self):
        """S1 and S2: from here on a bell comes with the next frame, of which there must be none yet."""
        self.into.store(CONSUMER_SLEEPS, 1)
        fence()
        if self.into.used():
            raise Broken('a frame came too early')

    def is_closed(self):
        """Waits for a record or the end; returns whether it was the end."""
        await_readable(self.socket)
        try:
            return self.socket.recv(8192) == b''
        except ConnectionResetError:
            return True


class Service:
    """Registers a name, N1 to N4, and does with each connection what `behave` does: see refuse and welcome."""

    def __init__(self, directory, name, behave):
        self.behave, self.connections, self.hellos, self.channels, self.frames = behave, 0, [], [], []
        self.folder = os.path.join(directory, 'locked')
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.path = os.path.join(self.folder, name)
        self.lock = os.open(os.path.join(self.folder, '.' + name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.lock_byte(0)
        self.lock_byte(1)
        self.listen(f'...{self.hash(name):08x}-{os.urandom(8).hex()}')
        self.lock_byte(1, fcntl.F_UNLCK)

    @staticmethod
    def hash(name):
        value = 0x811c9dc5
        for byte in name.encode():
            value = (value ^ byte) * 0x01000193 & 0xffffffff
        return value

    def lock_byte(self, byte, kind=fcntl.F_WRLCK):
        fcntl.fcntl(self.lock, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', kind, os.SEEK_SET, byte, 1, 0))

    def listen(self, temporary):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        temporary = os.path.join(self.folder, temporary)
        self.listener.bind(temporary)
        os.chmod(temporary, 0o600)
        self.listener.listen(16)
        os.rename(temporary, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Gives the name up. Idempotent."""
        if self.lock is None:
            return
        os.unlink(self.path)
        self.listener.close()
        for channel in self.channels:
            channel.close()
        os.close(self.lock)
        self.lock = None

    def accept(self):
        connection = self.listener.accept()[0]
        self.connections += 1
        await_readable(connection)
        record, descriptors, _, _ = socket.recv_fds(connection, 8192, 8)
        rings = struct.unpack_from('=2I', record, 20)
        self.hellos.append((record, descriptors_of(descriptors)))
        channel = Channel(connection, Memory(descriptors[0], PAGE + sum(rings)), rings, False)
        for descriptor in descriptors:
            os.close(descriptor)
        self.channels.append(channel)
        channel.serves, channel.ended = False, False
        self.behave(self, channel)

    def drain(self, channel):
        """Reads a bell, or the end; then serves the ring, and sleeps again."""
        try:
            channel.read_record()
        except (Ended, ConnectionResetError):
            channel.ended = True
            return
        self.serve(channel)

    def serve(self, channel):
        while channel.serves:
            frame = channel.take()
            if frame:
                self.frames.append(frame)
                self.answer(channel, frame)
                continue
            channel.into.store(CONSUMER_SLEEPS, 1)  # S1
            fence()
            if channel.into.used() == 0:  # S2
                return
            channel.into.store(CONSUMER_SLEEPS, 0)

    @staticmethod
    def answer(channel, frame):
        if frame.kind == MESSAGE and frame.token:
            channel.put(MESSAGE, frame.token, frame.identifier, frame.payload)

    def turn(self, *others):
        """Waits, does what came, and returns what of `others` is readable."""
        alive = [channel for channel in self.channels if not channel.ended]
        ready = await_readable(self.listener, *others, *(channel.socket for channel in alive))
        if self.listener in ready:
            self.accept()
        for channel in alive:
            if channel.socket in ready:
                self.drain(channel)
        return [other for other in others if other in ready]


def descriptors_of(descriptors):
    """What a service requires of a hello's descriptors: their number, and the size and the seals of the first."""
    return len(descriptors), os.fstat(descriptors[0]).st_size, fcntl.fcntl(descriptors[0], fcntl.F_GET_SEALS)


def refuse(**fields):
    def behave(_, channel):
        channel.socket.send(refusal(**fields))
    return behave


def close(_, channel):
    channel.socket.close()
    channel.ended = True


def welcome(version=1, lowest=1, highest=1, ignorable=0, required=0, serves=True):
    """H5."""
    def behave(service, channel):
        fields = {LARGEST_MESSAGE: 65536, VERSION: version, LOWEST: lowest, HIGHEST: highest, IGNORABLE: ignorable,
                  REQUIRED: required}
        for offset, value in fields.items():
            channel.memory.store(offset, value)
        channel.memory.store(WELCOMED, 1)
        channel.ring_if(channel.out, CONSUMER_SLEEPS)
        channel.serves = serves
        service.serve(channel)
    return behave
