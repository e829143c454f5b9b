#!/bin/bash
# SPDX-License-Identifier: MIT
# Whether the layouts of what units of one program share are those that were recorded under their number,
# LM_BINARY_INTERFACE: who changes one must raise the number, so that units with different ones don't link.
#   binary_interface.sh                        checks, and that it would find changes
#   binary_interface.sh record [--unreleased]  records the layouts; under the same number only if it isn't released yet
# The first line of the record is the number. It is x86-64's; the others differ where this one does.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
record=$root/tests/binary_interface.txt
place='LM_BINARY_INTERFACE in include/LightMessaging/detail/ground/interface.h'
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# layouts INCLUDE: the number, and the layouts of C and of Objective-C
layouts()
{
    local headers=(LightMessaging CFMessagePort Data Image Integer String PropertyList ImagePNG ImageCairo)
    local flags=(-std=gnu11 -g -gdwarf-4 -fno-eliminate-unused-debug-types -w -I "$1" -c) libraries
    read -ra libraries < <(pkg-config --cflags cairo libpng libplist-2.0)
    printf '#include <LightMessaging/%s.h>\n' "${headers[@]}" >"$work/all.c"
    echo '#include <rocketbootstrap/rocketbootstrap.h>' >>"$work/all.c"
    printf '#import <Foundation/Foundation.h>\n#import <AppKit/AppKit.h>\n' | cat - "$work/all.c" >"$work/all.m"
    gcc "${flags[@]}" "${libraries[@]}" "$work/all.c" -o "$work/c.o" || return
    gcc "${flags[@]}" "${libraries[@]}" -fobjc-exceptions -fexceptions -D_NATIVE_OBJC_EXCEPTIONS \
        -fconstant-string-class=NSConstantString -isystem "$(gnustep-config --variable=GNUSTEP_SYSTEM_HEADERS)" \
        "$work/all.m" -o "$work/objc.o" || return
    gcc -I "$1" -dM -E "$work/all.c" "${libraries[@]}" | awk '$2 == "LM_BINARY_INTERFACE" { print $3 }'
    python3 "$root/tests/layouts.py" "$1" "$work/c.o" "$work/objc.o"
}

# changed RECORD NEW: the types whose lines differ
changed()
{
    diff <(tail -n +2 "$1") <(tail -n +2 "$2") | sed -n 's/^[<>] \([^.:]*\).*/\1/p' | sort -u | xargs
}

# judge RECORD NEW: fails unless both are the same, and says what to do.
judge()
{
    local types
    types=$(changed "$1" "$2")
    if [ -n "$types" ] && [ "$(head -n 1 "$1")" = "$(head -n 1 "$2")" ]; then
        echo "these have another layout than the one recorded: $types"
        diff "$1" "$2"
        echo "raise $place and run tests/binary_interface.sh record"
        return 1
    elif ! cmp -s "$1" "$2"; then
        echo "the number is new; run tests/binary_interface.sh record"
        return 1
    fi
}

# write_record RECORD NEW [--unreleased]
write_record()
{
    local types=
    [ ! -f "$1" ] || types=$(changed "$1" "$2")
    if [ -n "$types" ] && [ "$(head -n 1 "$1")" = "$(head -n 1 "$2")" ] && [ "${3-}" != --unreleased ]; then
        echo "not recorded, since $types changed and the number did not: raise $place"
        echo '(or, if no version with this number has been released, record --unreleased)'
        return 1
    fi
    cp "$2" "$1"
    echo "recorded as $(head -n 1 "$1"): ${types:-nothing new}"
}

# expect STATUS WHAT HEADER SCRIPT: what the check says after the sed SCRIPT has changed a HEADER
expect()
{
    local said status
    rm -rf "$work/include"
    cp -r "$root/include" "$work/include"
    sed -i "$4" "$work/include/LightMessaging/$3"
    ! cmp -s "$root/include/LightMessaging/$3" "$work/include/LightMessaging/$3" || fail "$2: the test changes nothing"
    layouts "$work/include" >"$work/changed" || fail "$2: does not compile"
    said=$(judge "$work/new" "$work/changed")
    status=$?
    [ $status -eq "$1" ] || fail "$2: the check returns $status: $said"
    [ "$1" -eq 0 ] || grep -q "$2" <<<"$said" || fail "$2 is not named: $said"
}

check()
{
    layouts "$root/include" >"$work/new" || fail 'the headers do not compile'
    [ "$(wc -l <"$work/new")" -gt 500 ] || fail 'too little was found'
    judge "$record" "$work/new" || fail 'the binary interface is not the one recorded'
    expect 1 lm_link detail/client/link.h 's/^struct lm_link {/&\n    int more;/'
    cp "$record" "$work/record"
    write_record "$work/record" "$work/changed" >/dev/null && fail 'another layout is recorded under the same number'
    write_record "$work/record" "$work/changed" --unreleased >/dev/null && cmp -s "$work/record" "$work/changed" ||
        fail 'another layout is not recorded before the release'
    expect 1 LMServiceOptions LightMessaging.h 's/^} LMServiceOptions;/    int more;\n&/'
    expect 1 lm_port_kind detail/process/port.h 's/LM_PORT_SEND = 1/LM_PORT_SEND = 4/'
    expect 1 'the number is new' detail/ground/interface.h 's/^#define LM_BINARY_INTERFACE .*/&0/'
    expect 0 'a struct on stacks only' detail/loop/loop.h 's/^struct lm_harvest {/&\n    int more;/'
    [ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
    echo "the binary interface is $(head -n 1 "$record"), as recorded"
}

if [ "$(uname -m)" != x86_64 ]; then
    echo 'SKIPPED: the record is for x86-64'
    exit 77
fi
case ${1-check} in
check) check ;;
record) layouts "$root/include" >"$work/new" && write_record "$record" "$work/new" "${2-}" ;;
*) sed -n '3,7s/^# *//p' "$0"; exit 2 ;;
esac
