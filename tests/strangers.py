#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Peers that somebody else wrote, after docs/PROTOCOL.md alone, against the library.

    strangers.py STRANGER_PEER [CASE...]

Each case is run as it should be, and then with one thing wrong, SPOILED: that must fail, which shows that the case
looks at what it says. Nothing waits for a fixed time; HANG in stranger.py is a limit for hangs.
"""

import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import stranger as s  # noqa: E402

COLLECT, COLLECTED, HOLD, IS_AWAITED, WATCH, TIME_LEFT, STATUS, DROP = range(100, 108)  # as in stranger_peer.c
A_STATUS = -77
ECHO = 1
LM_INCOMPATIBLE_VERSION, LM_STATUS_REPLY = -0x07ffffff, -0x07fffffe
MACH_SEND_INVALID_DEST, MACH_SEND_TIMED_OUT = 0x10000003, 0x10000004
MACH_RCV_TIMED_OUT, MACH_RCV_PORT_DIED = 0x10004003, 0x10004009
NEVER = 0xffffffff
UNIT = 1 << 20  # nanoseconds, of a frame's deadline
NAME = 'test.strangers'
UNKNOWN = 1 << 31  # a feature that is never assigned


class Wrong(Exception):
    """The other side did not do what the protocol says."""


def equal(found, expected, what):
    if found != expected:
        raise Wrong(f'{what}: {found!r} instead of {expected!r}')


def true(condition, what):
    if not condition:
        raise Wrong(what)


class Program:
    """The library's side: stranger_peer, with its log."""

    def __init__(self, *arguments):
        self.log_file = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen([PEER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log_file, env=os.environ | {'LM_DEBUG': '1'})
        self.rest = b''

    def fileno(self):
        return self.process.stdout.fileno()

    def read(self):
        """Reads what there is; returns a line, or None if it is not complete."""
        more = os.read(self.fileno(), 4096)
        self.rest += more
        true(more, f'the program ended: {self.log()[-2000:]}')
        if b'\n' not in self.rest:
            return None
        line, self.rest = self.rest.split(b'\n', 1)
        return line.decode()

    def line(self):
        line = None
        while line is None:
            s.await_readable(self)
            line = self.read()
        return line

    def write(self, command):
        self.process.stdin.write(command.encode() + b'\n')
        self.process.stdin.flush()

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        end = self.end()
        self.process.stdout.close()
        log = self.log()
        self.log_file.close()
        true(error or end is None, f'the program ended with {end}: {log[-2000:]}')


class Serving(Program):
    """The library's service."""

    def __init__(self):
        super().__init__('serve', NAME)
        equal(self.line(), 'serving', 'the start of the service')

    def end(self):
        """Kills it; returns how it had ended before that."""
        ended = self.process.poll()
        self.process.kill()
        self.process.communicate()
        return ended

    def connect(self, record=None, rings=(s.PAGE, s.PAGE), **options):
        return s.Client(os.path.join(DIRECTORY, 'locked', NAME), record or s.hello(rings=rings), rings, **options)


class Talking(Program):
    """The library's client."""

    def __init__(self):
        super().__init__('talk', NAME)

    def end(self):
        """Lets it end; returns None if it did so well."""
        try:
            self.process.communicate(timeout=s.HANG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode or None

    def do(self, service, command):
        """Gives the command, and serves with the stranger until it is done; returns the numbers or texts it says."""
        self.write(command)
        line = None
        while line is None:
            if service is None or service.turn(self):
                line = self.read()
        return line.split()

    def call(self, service, identifier=ECHO, text='hi', timeout=NEVER):
        """Returns the status, and the text after it."""
        status, *text = self.do(service, f'call {timeout} {identifier} {text}')
        return int(status), ' '.join(text)

    def send(self, identifier, text):
        self.write(f'send {identifier} {text}')
        return int(self.line())

    def versions(self):
        self.write('versions')
        status, lowest, highest, spoken, features, other = map(int, self.line().split())
        return {'status': status, 'lowest': lowest, 'highest': highest, 'spoken': spoken, 'features': features,
                'other': other}


def fields_of(refusal):
    names = 'magic', 'status', 'lowest', 'highest', 'features'
    return dict(zip(names, struct.unpack_from('=5I', refusal)))


def is_refused(client):
    """Requires a refusal for its version, with the range of the library, as the last record; returns its fields."""
    fate = client.fate()
    true(isinstance(fate, bytes), f'a refusal was expected, not: {fate}')
    fields = fields_of(fate)
    equal((fields['magic'], fields['status']), (s.MAGIC, s.INCOMPATIBLE), 'magic and status of the refusal')
    equal((fields['lowest'], fields['highest']), (1, 1), 'the versions in the refusal')
    equal(fate[20:32], bytes(12), 'the reserved bytes of the refusal')
    true(client.is_closed(), 'a record came after the refusal')
    return fields


def is_served(client, text=b'stranger'):
    equal(client.fate(), 'welcome', 'the fate of the hello')
    reply = client.call(ECHO, text)
    equal((reply.kind, reply.payload), (s.MESSAGE, text), 'kind and payload of the reply')
    return reply


def names_versions(log, *numbers):
    """A line of the log has the service's name and all of these numbers, each as a word."""
    for line in log.splitlines():
        if NAME in line and not {str(number) for number in numbers} - set(re.findall(r'\b\d+\b', line)):
            return
    raise Wrong(f'the log has no line with {numbers}:\n{log}')


# 1 to 5: strangers call the library's service


def a_stranger_of_the_same_version_is_served(identifier=ECHO, lowest=1):
    with Serving() as service:
        client = service.connect(s.hello(lowest=lowest))
        token = client.ask(identifier, b'before the welcome')
        equal(client.reply_to(token).payload, b'before the welcome', 'the reply to what came before the welcome')
        is_served(client)
        equal([client.memory.load(word) for word in (s.VERSION, s.LOWEST, s.HIGHEST, s.REQUIRED)], [1, 1, 1, 0],
              'the versions and features in the welcome')
        true(client.memory.load(s.LARGEST_MESSAGE) >= 65536, 'the largest message')
        client.close()


def rings_wrap_and_large_messages_pass(cut=0):
    with Serving() as service:
        client = service.connect(rings=(s.PAGE, 1 << 16))
        for length in range(300):
            is_served(client, bytes(i & 255 for i in range(length * 7)))
        large = os.urandom(200000)
        client.put_large(1 << 20, ECHO, large[cut:], 1000)
        true(client.reply_to(1 << 20).payload == large, 'the large message did not come back')
        client.close()


def a_large_reply_passes_the_smallest_ring(cut=0):
    with Serving() as service:
        client = service.connect()
        large = os.urandom(300000)
        client.put_large(1, ECHO, large[cut:], 1000)
        true(client.reply_to(1).payload == large, 'the large message did not come back')


def a_stranger_of_later_versions_is_refused(lowest=2, logged=(2, 3, 1)):
    with Serving() as service:
        is_refused(service.connect(s.hello(lowest, 3)))
        is_served(service.connect())  # what the service writes of the first is in the log by now
        names_versions(service.log(), *logged)


def a_range_that_has_no_version_is_refused(ranges=((0, 0), (5, 1), (1, 0), (2, 0xffffffff))):
    with Serving() as service:
        for lowest, highest in ranges:
            is_refused(service.connect(s.hello(lowest, highest)))


def a_stranger_that_speaks_more_versions_is_served(lowest=1):
    with Serving() as service:
        client = service.connect(s.hello(lowest, 7))
        is_served(client)
        equal(client.memory.load(s.VERSION), 1, 'the version spoken')
        client.close()


def a_longer_hello_with_unknown_features_is_served(required=0, length=32):
    with Serving() as service:
        record = s.hello(ignorable=UNKNOWN | 1 << 30 | 1 << 6, required=required, more=b'\xff' * length)
        is_served(service.connect(record))


def a_hello_has_a_longest_length(length=4096):
    with Serving() as service:
        is_served(service.connect(s.hello(more=bytes(length - 64))))
        equal(service.connect(s.hello(more=bytes(length + 1 - 64))).fate(), 'closed', f'the fate of {length + 1} bytes')


def an_unknown_required_feature_is_refused(bit=UNKNOWN):
    with Serving() as service:
        is_refused(service.connect(s.hello(required=bit)))
        is_served(service.connect())
        true(re.search(r'80000000|2147483648|\b31\b', service.log()), f'the log has no bit 31:\n{service.log()}')


def the_other_byte_order_is_told(order='>'):
    with Serving() as service:
        is_refused(service.connect(s.hello(order=order)))


def what_begins_like_a_hello_is_refused(magics=(0x4c4d5332, 0x4c4d0000), other=0x4c4e5331, length=63):
    with Serving() as service:
        for magic in magics:
            is_refused(service.connect(s.hello(magic=magic)))
        for short in 4, length:
            is_refused(service.connect(s.hello()[:short]))
        equal(service.connect(s.hello(magic=other)).fate(), 'closed', 'the fate of another magic')


def what_a_later_version_may_send_is_refused(version=2, starter=0x4c4d5231):
    """With other rings, without memory, and a starter (section 12)."""
    with Serving() as service:
        is_refused(service.connect(s.hello(version, 3, rings=(0, 0))))
        is_refused(service.connect(s.hello(version, 3), sends_memory=False))
        fields = is_refused(service.connect(s.hello(magic=starter, more=bytes(4032)), sends_memory=False))
        equal(fields['features'] & 2, 0, 'feature 1')


def a_hello_that_is_not_as_required_closes_the_connection(ring=5000, size=8192, sends_memory=False):
    with Serving() as service:
        for rings in (ring, 4096), (4096, ring), (2048, 4096):
            equal(service.connect(rings=rings).fate(), 'closed', f'the fate of rings of {rings} bytes')
        equal(service.connect(s.hello(rings=(4096, size))).fate(), 'closed', 'the fate of rings of another size')
        equal(service.connect(sends_memory=sends_memory).fate(), 'closed', 'the fate of a hello without memory')


# 8, the library's service


def a_status_and_a_dropped_reply_come(status=STATUS, drop=DROP):
    with Serving() as service:
        client = service.connect()
        reply = client.call(status)
        equal((reply.kind, reply.identifier, reply.length), (s.STATUS, A_STATUS, 0), 'the status')
        equal(client.call(drop).kind, s.DROPPED, 'the kind for a reply port that was given up')


def deadline_in(seconds):
    """What a frame says that is awaited for so long: 0 would mean for ever."""
    return ((time.monotonic_ns() + int(seconds * 1e9)) // UNIT & 0xffffffff) or 1


def integer(reply):
    return struct.unpack('=i', reply.payload)[0]


def the_time_left_is_the_strangers(seconds=1000):
    with Serving() as service:
        client = service.connect()
        equal(integer(client.call(TIME_LEFT)) & 0xffffffff, NEVER, 'the time left without a deadline')
        began = time.monotonic()
        left = integer(client.call(TIME_LEFT, deadline=deadline_in(seconds)))
        took = time.monotonic() - began
        true(1000 - took - 0.01 <= left / 1000 <= 1000.01, f'{left} ms are left of 1000 s, after {took} s')
        equal(integer(client.call(TIME_LEFT, deadline=deadline_in(-1))), 0, 'the time left when it is over')


def who_gives_up_is_not_awaited(wrong=0):
    with Serving() as service:
        client = service.connect()
        held = client.ask(HOLD)
        equal(integer(client.call(IS_AWAITED)), 1, 'is awaited')
        client.put(s.GIVEN_UP, held + 1000)
        equal(integer(client.call(IS_AWAITED)), 1, 'is awaited when another was given up')
        client.put(s.GIVEN_UP, held + wrong)
        equal(integer(client.call(IS_AWAITED)), 0, 'is awaited when it was given up')


def a_running_callback_hears_of_it(identifier=WATCH):
    with Serving() as service:
        client = service.connect()
        watched = client.ask(identifier)
        client.announce_sleep()
        while service not in s.await_readable(service, client.socket):
            client.read_record()  # a bell of the welcome
            client.announce_sleep()
        equal(service.line(), 'watching', 'what the callback says')
        client.put(s.GIVEN_UP, watched)
        equal(service.line(), 'given up', 'what the callback says then')
        is_served(client)


def is_ended(client):
    """Calls; returns whether the service closed the connection instead of an answer."""
    try:
        client.call(ECHO)
        return False
    except (s.Ended, ConnectionResetError):
        return True


def unknown_kinds_are_ignored(kind=255, other=127):
    with Serving() as service:
        client = service.connect()
        client.put(kind, payload=b'what is this?')
        client.put(129, 5, payload=bytes(100))
        is_served(client)
        client.put(other)
        true(is_ended(client), f'kind {other} does not break the protocol')


# 6: the library's client calls strangers


def stranger(behave):
    return s.Service(DIRECTORY, NAME, behave)


def is_incompatible(behave, lowest=2, highest=3, features=0, other=0, logged=None):
    """A call gets the error from one connection, which stays open: only what the stranger said can have ended it."""
    with stranger(behave) as service, Talking() as client:
        equal(client.call(service)[0], LM_INCOMPATIBLE_VERSION, 'the status of the call')
        equal(service.connections, 1, 'connections for one call')
        equal(client.versions(), {'status': 0, 'lowest': lowest, 'highest': highest, 'spoken': 0,
                                  'features': features, 'other': other}, 'the versions of the service')
        equal(client.call(service)[0], LM_INCOMPATIBLE_VERSION, 'the status of another call')
        equal(service.connections, 2, 'connections for two calls')
        true(service.channels[1].into.used() == 0, 'a refused client sent something before it was welcome')
        names_versions(client.log(), *(logged or (lowest, highest, 1)))


def the_hello_of_the_library_is_as_specified(rings=None):
    with stranger(s.welcome()) as service, Talking() as client:
        equal(client.call(service), (0, 'hi'), 'the call')
        record, (count, size, seals) = service.hellos[0]
        words = struct.unpack('=16I', record)
        equal(words[:3], (s.MAGIC, 1, 1), 'magic and versions')
        equal((words[3] & ~1, words[4], words[8:]), (0, 0, (0,) * 8), 'features and reserved words')
        for ring in words[5:7]:
            true(4096 <= ring <= 1 << 24 and ring & (ring - 1) == 0, f'a ring of {ring} bytes')
        equal((count, size), (1, 4096 + sum(rings or words[5:7])), 'descriptors, and the size of the memfd')
        equal(seals & s.SEALS, s.SEALS, 'the seals')
        equal(client.versions(), {'status': 0, 'lowest': 1, 'highest': 1, 'spoken': 1, 'features': 0, 'other': 0},
              'the versions of the service')


def a_service_of_later_versions_is_an_error(logged=None, features=UNKNOWN | 5, **fields):
    is_incompatible(s.refuse(features=features, **fields), features=UNKNOWN | 5, logged=logged)


def a_longer_refusal_is_understood(status=s.INCOMPATIBLE):
    is_incompatible(s.refuse(more=b'\xff' * 32, status=status))


def a_refusal_in_the_other_byte_order_is_told(order='>', status=1100):
    is_incompatible(s.refuse(order=order, status=status, features=9), other=1, features=9)


def a_welcome_with_an_unknown_required_feature_is_an_error(bit=UNKNOWN):
    is_incompatible(s.welcome(required=bit, serves=bit != UNKNOWN), 1, 1, UNKNOWN)


def a_welcome_with_a_version_out_of_range_is_an_error(version=2):
    is_incompatible(s.welcome(version, 2, 3, serves=version == 1))


def a_welcome_with_version_0_is_an_error(version=0):
    is_incompatible(s.welcome(version, 1, 1, serves=version == 1), 1, 1)


def the_reply_of_an_incompatible_service_is_not_believed(**fields):
    for welcome in {'version': 2, 'highest': 2}, {'version': 0}, {'required': UNKNOWN}:
        with stranger(s.welcome(**welcome | fields)) as service, Talking() as client:
            status = client.call(service)[0]  # by whether the service takes the call before the client reads the welcome
            true(status in (MACH_RCV_PORT_DIED, LM_INCOMPATIBLE_VERSION), f'{status}, of a call answered after {welcome}')
            equal(service.connections, 1, 'connections')


def unknown_ignorable_features_are_ignored(**fields):
    with stranger(s.welcome(highest=9, ignorable=UNKNOWN | 1 << 30, **fields)) as service, Talking() as client:
        equal(client.call(service), (0, 'hi'), 'the call')
        equal(client.versions(), {'status': 0, 'lowest': 1, 'highest': 9, 'spoken': 1,
                                  'features': UNKNOWN | 1 << 30, 'other': 0}, 'the versions of the service')


def a_death_is_looked_up_again(behave=s.close):
    """The opposite of the above: what a death looks like."""
    with stranger(behave) as service, Talking() as client:
        equal(client.call(service)[0], MACH_SEND_INVALID_DEST, 'the status of the call')
        equal(service.connections, 2, 'connections for one call')


def an_unknown_status_is_a_death(status=12345):
    a_death_is_looked_up_again(s.refuse(status=status))


def other_refusals_are_their_status(status=1100):
    with stranger(s.refuse(status=status)) as service, Talking() as client:
        equal(client.call(service)[0], 1100, 'the status of the call')


# 7


def what_was_queued_waits_for_a_compatible_service(behave=None):
    with Talking() as client:
        with stranger(behave or s.refuse()) as service:
            equal([client.send(COLLECT, text) for text in 'ab'], [0, 0], 'one-way messages before the refusal')
            equal(client.call(service)[0], LM_INCOMPATIBLE_VERSION, 'the status of the call')
            client.write(f'send {COLLECT} c')
            while not service.turn(client):
                pass
            equal(client.line(), str(LM_INCOMPATIBLE_VERSION), 'a one-way message after the refusal')
        with Serving():
            equal(client.call(None, COLLECTED), (0, 'ab'), 'what the service got')
            equal(client.send(COLLECT, 'd'), 0, 'a one-way message to the compatible service')
            equal(client.call(None, COLLECTED), (0, 'abd'), 'what the service got in the end')
            equal(client.versions(), {'status': 0, 'lowest': 1, 'highest': 1, 'spoken': 1, 'features': 1, 'other': 0},
                  'the versions of the service')


def what_was_queued_is_sent_at_the_end(behave=None, ends=True):
    """Also by a process that ends in good order, as after a death."""
    with Talking() as client, stranger(behave or s.refuse()) as service:
        equal([client.send(COLLECT, text) for text in 'ab'], [0, 0], 'one-way messages before the refusal')
        client.call(service)
        service.close()
        with Serving(), Talking() as other:
            true(not ends or client.end() is None, 'the client ended badly')
            equal(other.call(None, COLLECTED), (0, 'ab'), 'what the service got')


# 8, the library's client


def deadlines(frame, began, ended, timeout, wrong):
    """The frame's deadline lies a timeout after some moment of the call, within a unit."""
    after = [(frame.deadline - (moment + timeout * 1000000 + wrong) // UNIT) & 0xffffffff for moment in (began, ended)]
    signed = [number - (1 << 32) if number >> 31 else number for number in after]
    true(signed[0] >= -1 and signed[1] <= 1, f'a deadline of {timeout} ms is {signed} units after the call')


def a_request_has_its_deadline(wrong=0, never=NEVER):
    with stranger(s.welcome()) as service, Talking() as client:
        for timeout in 3600000, 100000000:
            began = time.monotonic_ns()
            equal(client.call(service, timeout=timeout), (0, 'hi'), 'the call')
            deadlines(service.frames[-1], began, time.monotonic_ns(), timeout, wrong)
        for timeout in never, 27 * 86400000:
            equal(client.call(service, timeout=timeout), (0, 'hi'), 'the call')
            equal(service.frames[-1].deadline, 0, f'the deadline for {timeout} ms')


def with_status(status):
    def answer(channel, frame):
        if frame.token:
            channel.put(s.STATUS, frame.token, status)
    return answer


def a_status_is_a_reply(status=A_STATUS):
    with stranger(s.welcome()) as service, Talking() as client:
        service.answer = with_status(status)
        equal(client.call(service), (LM_STATUS_REPLY, str(A_STATUS)), 'the call')


def call_until_taken(client, service, timeout):
    """Returns the status of the first call whose timeout was long enough for this machine."""
    status = MACH_SEND_TIMED_OUT
    while status == MACH_SEND_TIMED_OUT and timeout < s.HANG * 1000:
        service.frames.clear()
        status, timeout = client.call(service, timeout=timeout)[0], timeout * 2
    return status


def the_client_says_that_it_gave_up(timeout=50, answers=False):
    with stranger(s.welcome()) as service, Talking() as client:
        if not answers:
            service.answer = lambda channel, frame: None
        equal(call_until_taken(client, service, timeout), MACH_RCV_TIMED_OUT, 'the call')
        while len(service.frames) < 2:
            service.turn()
        call, after = service.frames
        equal((after.kind, after.token), (s.GIVEN_UP, call.token), 'kind and token of what came after the call')


SPOILED = [
    (a_stranger_of_the_same_version_is_served, {'identifier': STATUS}),
    (a_stranger_of_the_same_version_is_served, {'lowest': 2}),
    (rings_wrap_and_large_messages_pass, {'cut': 1}),
    (a_large_reply_passes_the_smallest_ring, {'cut': 1}),
    (a_stranger_of_later_versions_is_refused, {'lowest': 1}),
    (a_stranger_of_later_versions_is_refused, {'logged': (4,)}),
    (a_range_that_has_no_version_is_refused, {'ranges': [(0, 1)]}),
    (a_stranger_that_speaks_more_versions_is_served, {'lowest': 2}),
    (a_longer_hello_with_unknown_features_is_served, {'required': UNKNOWN}),
    (a_hello_has_a_longest_length, {'length': 4097}),
    (a_hello_has_a_longest_length, {'length': 4095}),
    (an_unknown_required_feature_is_refused, {'bit': 0}),
    (the_other_byte_order_is_told, {'order': '<'}),
    (what_begins_like_a_hello_is_refused, {'magics': [s.MAGIC]}),
    (what_begins_like_a_hello_is_refused, {'other': s.MAGIC}),
    (what_begins_like_a_hello_is_refused, {'length': 64}),
    (what_a_later_version_may_send_is_refused, {'version': 1}),
    (what_a_later_version_may_send_is_refused, {'starter': s.MAGIC}),
    (a_hello_that_is_not_as_required_closes_the_connection, {'ring': 8192}),
    (a_hello_that_is_not_as_required_closes_the_connection, {'size': 4096}),
    (a_hello_that_is_not_as_required_closes_the_connection, {'sends_memory': True}),
    (a_status_and_a_dropped_reply_come, {'status': ECHO}),
    (a_status_and_a_dropped_reply_come, {'drop': ECHO}),
    (the_time_left_is_the_strangers, {'seconds': 1001}),
    (the_time_left_is_the_strangers, {'seconds': 500}),
    (who_gives_up_is_not_awaited, {'wrong': 1}),
    (a_running_callback_hears_of_it, {'identifier': ECHO}),
    (unknown_kinds_are_ignored, {'kind': 4}),
    (unknown_kinds_are_ignored, {'other': s.GIVEN_UP}),
    (the_hello_of_the_library_is_as_specified, {'rings': (4096, 64)}),
    (a_service_of_later_versions_is_an_error, {'lowest': 3}),
    (a_service_of_later_versions_is_an_error, {'highest': 4}),
    (a_service_of_later_versions_is_an_error, {'features': 5}),
    (a_service_of_later_versions_is_an_error, {'logged': (4,)}),
    (a_service_of_later_versions_is_an_error, {'status': 1100}),
    (a_longer_refusal_is_understood, {'status': 6}),
    (a_refusal_in_the_other_byte_order_is_told, {'order': '<'}),
    (a_refusal_in_the_other_byte_order_is_told, {'order': '<', 'status': s.INCOMPATIBLE}),
    (a_welcome_with_an_unknown_required_feature_is_an_error, {'bit': 0}),
    (a_welcome_with_a_version_out_of_range_is_an_error, {'version': 1}),
    (a_welcome_with_version_0_is_an_error, {'version': 1}),
    (the_reply_of_an_incompatible_service_is_not_believed, {'version': 1, 'required': 0}),
    (unknown_ignorable_features_are_ignored, {'required': UNKNOWN, 'serves': False}),
    (a_death_is_looked_up_again, {'behave': s.refuse()}),
    (an_unknown_status_is_a_death, {'status': 1100}),
    (other_refusals_are_their_status, {'status': 6}),
    (what_was_queued_waits_for_a_compatible_service, {'behave': s.welcome()}),
    (what_was_queued_is_sent_at_the_end, {'behave': s.close, 'ends': False}),
    (a_request_has_its_deadline, {'wrong': 10**12}),
    (a_request_has_its_deadline, {'wrong': -10**12}),
    (a_request_has_its_deadline, {'never': 1000000}),
    (a_status_is_a_reply, {'status': A_STATUS + 1}),
    (the_client_says_that_it_gave_up, {'answers': True, 'timeout': 10000}),
]


def outcome(case, wrong):
    """Returns why the case fails, or None."""
    try:
        case(**wrong)
    except (Wrong, s.Broken, s.Ended, s.Refused, s.Hung, OSError) as reason:
        return f'{type(reason).__name__}: {reason}'
    return None


def passes(case, wrong):
    reason = outcome(case, wrong)
    if wrong and reason and not reason.startswith('Hung'):
        return True
    if not wrong and not reason:
        print(f'ok: {case.__name__}')
        return True
    print(f'FAILED: {case.__name__} {wrong or ""}: {reason or "passes, though it is spoiled"}')
    return False


def main():
    chosen = {case: None for case, _ in SPOILED if not sys.argv[2:] or case.__name__ in sys.argv[2:]}
    runs = [(case, {}) for case in chosen] + [(case, wrong) for case, wrong in SPOILED if case in chosen]
    failures = [run for run in runs if not passes(*run)]
    print(f'{len(runs) - len(failures)} passed, {len(failures)} failed')
    return 1 if failures or not runs else 0


if platform.machine() != 'x86_64':
    print('SKIPPED: this needs the order of loads and stores of x86, and 64 bits')
    sys.exit(77)
PEER = sys.argv[1]
DIRECTORY = tempfile.mkdtemp()
os.environ['LM_RUNTIME_DIR'] = DIRECTORY
try:
    RESULT = main()
finally:
    shutil.rmtree(DIRECTORY)
sys.exit(RESULT)
