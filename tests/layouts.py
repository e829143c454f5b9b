#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the layouts that units of one program must agree on, a line for each type and each member.

    layouts.py INCLUDE OBJECT...

The objects hold the debugging information of units with all headers, from the folder INCLUDE. Units share what public
types and the shared state lead to: by members, by pointers, and by lists, tables and memory that hold what is then cast
to its type. A structure that none of these lead to is on stacks only, and is not printed. Enumerations are, all of
them, since their values are kept in plain integers, too.
"""

import pathlib
import re
import subprocess
import sys

OURS = re.compile(r'lm_|LM|CF|mach_|kern_return_t|name_t|Boolean|UInt8|[SU]Int32')
STATE_OR_CAST = re.compile(r'LM_STATE\(struct (\w+)|\(struct (\w+) \*\)|LM_CONTAINER\([^;]*?, struct (\w+),')
COMPOSED = ('structure_type', 'union_type')
START = re.compile(r' <([0-9a-f]+)><([0-9a-f]+)>: Abbrev Number: \d+ \(DW_TAG_(\w+)\)')
ATTRIBUTE = re.compile(r' +<[0-9a-f]+> +DW_AT_(\w+) *: (?:\(in[^)]*\): )?(.*)')


class Entry:
    """An entry of the debugging information: a type, a member, or something else."""

    def __init__(self, tag):
        self.tag = tag
        self.attributes = {}
        self.children = []

    @property
    def name(self):
        return self.attributes.get('name')

    def number(self, attribute, default='0'):
        return int(self.attributes.get(attribute, default), 0)

    def of(self, tag):
        return [child for child in self.children if child.tag == tag]


def read_entries(object_file):
    """All entries by their offset, as readelf prints them."""
    command = ['readelf', '--debug-dump=info', object_file]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    entries, path = {}, []
    for line in text.splitlines():
        if start := START.match(line):
            entry = entries[int(start[2], 16)] = Entry(start[3])
            del path[int(start[1], 16):]
            if path:
                path[-1].children.append(entry)
            path.append(entry)
        elif (attribute := ATTRIBUTE.match(line)) and path:
            path[-1].attributes[attribute[1]] = attribute[2].strip('<> \t')
    return entries


class Layouts:
    def __init__(self, object_file):
        self.entries = read_entries(object_file)
        self.lines = {}  # of each type, by its name
        self.ours = {}
        for entry in self.entries.values():
            if entry.tag in (*COMPOSED, 'enumeration_type', 'typedef') and OURS.match(entry.name or ''):
                if 'declaration' not in entry.attributes:
                    self.ours.setdefault(entry.name, entry)

    def type_of(self, entry):
        return self.entries[entry.number('type')] if 'type' in entry.attributes else None

    def text(self, kind):
        """How the type is written. Those of ours that it names are added to the lines."""
        if kind is None:
            return 'void'
        if kind.name:
            self.add(kind.name)
            return kind.name
        word = kind.tag.removesuffix('_type')
        if kind.tag in COMPOSED:
            return word
        inner = self.text(self.type_of(kind))
        if kind.tag == 'pointer_type':
            return f'{inner} *'
        if kind.tag == 'array_type':
            return inner + ''.join(f"[{part.number('upper_bound', '-1') + 1}]" for part in kind.of('subrange_type'))
        if kind.tag == 'subroutine_type':
            return f"{inner} ({', '.join(self.text(self.type_of(part)) for part in kind.of('formal_parameter'))})"
        return f'{word} {inner}'

    def add(self, name):
        if name in self.lines or name not in self.ours:
            return
        lines = self.lines[name] = []
        entry = self.ours[name]
        if entry.tag == 'typedef':
            target = self.type_of(entry)
            if target is None or target.name or target.tag not in (*COMPOSED, 'enumeration_type'):
                lines.append(f'{name}: {self.text(target)}')
                return
            entry = target
        lines.append(f"{name}: {entry.number('byte_size')} bytes")
        for value in entry.of('enumerator'):
            lines.append(f"{name}.{value.name}: {value.attributes['const_value']}")
        self.add_members(lines, entry, name, 0)

    def add_members(self, lines, composed, path, offset):
        """Those of a structure without a name are its owner's."""
        for member in composed.of('member'):
            kind = self.type_of(member)
            place = offset + member.number('data_member_location')
            name = f"{path}.{member.name or '-'}"
            bits = ''.join(f', {attribute} {member.attributes[attribute]}'
                           for attribute in ('data_bit_offset', 'bit_offset', 'bit_size')
                           if attribute in member.attributes)
            lines.append(f'{name}: at {place}{bits}, {self.text(kind)}')
            while kind and kind.tag == 'array_type':
                kind = self.type_of(kind)
            if kind and kind.tag in COMPOSED and not kind.name:
                self.add_members(lines, kind, name, place)


def shared_by_name(include):
    """The shared state, and what a pointer is cast to."""
    return {name for header in pathlib.Path(include).rglob('*.h')
            for names in STATE_OR_CAST.findall(header.read_text()) for name in names if name}


def main(include, *objects):
    shared, lines = shared_by_name(include), {}
    for object_file in objects:
        layouts = Layouts(object_file)
        for name, entry in layouts.ours.items():
            if name in shared or not name.startswith('lm_') or entry.tag == 'enumeration_type':
                layouts.add(name)
        lines = layouts.lines | lines  # what the first one has of a name, counts
    for name in sorted(lines):
        print('\n'.join(lines[name]))


main(*sys.argv[1:])
