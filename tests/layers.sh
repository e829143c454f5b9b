#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks that each file of the implementation includes only files of its own layer and lower ones, and that every header
# compiles alone, as C and C++, or as Objective-C where it needs that. Headers are also compiled without the
# implementation that a public header includes, so that a file must include what it uses.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
include=${1-$root/include}
details=$include/LightMessaging/detail
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
layers=(ground process loop cf channel registry client service compat types objc) # each may use those before it
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# Prints the index of a layer in the list above; nothing if it is not in it.
rank_of()
{
    local i
    for i in "${!layers[@]}"; do
        [ "${layers[i]}" = "$1" ] && echo "$i"
    done
}

# check_includes FILE: the other layers that it includes must come before its own.
check_includes()
{
    local file=$1 rank other
    rank=$(rank_of "$(basename "$(dirname "$file")")")
    [ -n "$rank" ] || { fail "$file is in no layer"; return; }
    for other in $(sed -n 's|^ *# *include ["<]\(.*/\)\?\([a-z_]*\)/[a-z_]*\.h[">].*|\2|p' "$file"); do
        [ -z "$(rank_of "$other")" ] || [ "$(rank_of "$other")" -le "$rank" ] || fail "$file includes a higher layer, $other"
    done
}

# compiles FILE COMPILER...: must print nothing. Warnings about public functions that are only declared are ignored.
compiles()
{
    local file=$1 complaints
    shift
    printf '#include "%s"\n' "$file" >"$work/alone.c"
    complaints=$("$@" "${libraries[@]}" -I "$include" -Wall -Wextra -Wno-unused-function -fsyntax-only "$work/alone.c" \
        2>&1 | grep -E 'error:|warning:' | grep -vE '[ *‘](LM|CF|mach_|rocket)\w*(\(.*\))?’ used but never defined')
    [ -z "$complaints" ] || fail "$file, $*: $(head -n 2 <<<"$complaints")"
}

check_alone()
{
    local file=$1
    if [[ $file == */objc/* ]]; then
        compiles "$file" "${objective_c[@]}"
    else
        compiles "$file" gcc -std=c11
        compiles "$file" g++ -std=c++17 -x c++
        compiles "$file" gcc -std=c11 -DLIGHTMESSAGING_SEPARATE
    fi
}

# Tests of the checks: each must find its fault.
check_the_checks()
{
    local folder=$work/LightMessaging/detail
    mkdir -p "$folder/ground" "$folder/attic"
    echo '#include "../client/link.h"' >"$folder/ground/up.h"
    echo '#include "../ground/base.h"' >"$folder/attic/none.h"
    echo 'static inline int lm_alone(void) { return lm_missing(); }' >"$folder/ground/lacking.h"
    echo '#include <LightMessaging/detail/client/link.h>' >"$folder/ground/up_by_name.h"
    finds 'a higher layer' check_includes "$folder/ground/up.h"
    finds 'a higher layer' check_includes "$folder/ground/up_by_name.h"
    finds 'in no layer' check_includes "$folder/attic/none.h"
    finds 'lm_missing' compiles "$folder/ground/lacking.h" gcc -std=c11
}

# finds WHAT CHECK...
finds()
{
    local what=$1 said
    shift
    said=$("$@") # in a subshell, so that its failures do not count
    grep -q "$what" <<<"$said" || fail "not found: $what"
}

read -ra libraries < <(pkg-config --cflags cairo libpng libplist-2.0)
objective_c=(gcc -x objective-c -std=gnu11 -fobjc-exceptions -fexceptions -D_NATIVE_OBJC_EXCEPTIONS
    -fconstant-string-class=NSConstantString -isystem "$(gnustep-config --variable=GNUSTEP_SYSTEM_HEADERS)")
check_the_checks
count=0
while read -r file; do
    [[ $file != $details/* ]] || check_includes "$file"
    check_alone "$file"
    count=$((count + 1))
done < <(find "$include" -name '*.h')
[ $count -gt 50 ] || fail "only $count headers found"
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
echo "$count headers stand alone, in ${#layers[@]} layers"
