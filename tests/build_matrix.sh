#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks the headers' promises: every compiler accepts them without a warning, alone and in any order with libc's;
# several units and a plugin of one program can use them; and they define no names outside the documented prefixes.
#   build_matrix.sh [PART...]
# A PART is the name of a function below without its check_; all by default. With LM_MATRIX=small in the environment
# builds that differ only in the standard, the order or the libc are parsed and not compiled; this misses only unused
# functions, and errors of the linker and warnings of the optimiser.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
strict=(-Wall -Wextra -Wpedantic -Wconversion -Werror -I "$root/include")
public=(LightMessaging/LightMessaging.h LightMessaging/CoreFoundation.h LightMessaging/CFMachPort.h
    LightMessaging/Mach.h LightMessaging/Version.h rocketbootstrap/rocketbootstrap.h)
# The headers that are included on demand and need no other library.
helpers=(LightMessaging/CFMessagePort.h LightMessaging/Data.h LightMessaging/String.h LightMessaging/Integer.h
    LightMessaging/Image.h)
failures=0
compile_only=(-c -o out)
[ "${LM_MATRIX-whole}" = small ] && compile_only=(-fsyntax-only)

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect_builds WHAT COMMAND...: the command must succeed and print nothing
expect_builds()
{
    local what=$1 output
    shift
    output=$("$@" 2>&1) && [ -z "$output" ] || fail "$what: $* : $(head -n 5 <<<"$output")"
}

write_pair()
{
    cat >client.c <<'SOURCE'
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>
static LMConnection connection = {MACH_PORT_NULL, "com.example.lol"};
int main(void)
{
    LMResponseBuffer buffer;
    kern_return_t result = LMConnectionSendTwoWay(&connection, 1, "hi", (uint32_t)strlen("hi") + 1, &buffer);
    if (result == 0)
        puts((const char *)LMMessageGetData(&buffer.message));
    else
        puts(mach_error_string(result));
    LMResponseBufferFree(&buffer);
    return result;
}
SOURCE
    cat >server.c <<'SOURCE'
#include <LightMessaging/LightMessaging.h>
static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port;
    (void)info;
    if (size < (CFIndex)sizeof(LMMessage))
        return;
    LMSendReply(message->head.msgh_remote_port, "lol", 4);
    LMResponseBufferFree((LMResponseBuffer *)message);
}
int main(void)
{
    kern_return_t result = LMStartService("com.example.lol", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (result == 0)
        CFRunLoopRun();
    return result;
}
SOURCE
    cp client.c client.cpp
    cp server.c server.cpp
}

check_compilers()
{
    local compiler standard side
    for side in client server; do
        for compiler in gcc clang; do
            expect_builds 'the classic pair' "$compiler" -std=c11 "${strict[@]}" $side.c -o out
            for standard in gnu11 c17; do
                expect_builds 'the classic pair' "$compiler" -std=$standard "${strict[@]}" $side.c "${compile_only[@]}"
            done
        done
        for compiler in g++ clang++; do
            expect_builds 'the classic pair in C++' "$compiler" -std=c++17 "${strict[@]}" $side.cpp -o out
        done
        expect_builds 'the classic pair with musl' musl-gcc -std=c11 "${strict[@]}" $side.c -o out
        expect_builds 'the classic pair, optimised' gcc -std=c11 -O2 "${strict[@]}" $side.c -o out
        expect_builds 'the classic pair without doors' gcc -std=c11 -DLIGHTMESSAGING_USE_ROCKETBOOTSTRAP=0 \
            "${strict[@]}" $side.c -o out
        expect_builds 'the classic pair with a timeout' gcc -std=c11 -DLIGHTMESSAGING_TIMEOUT=300 \
            "${strict[@]}" $side.c -o out
    done
}

# talks WHAT: ./client must get ./server's answer
talks()
{
    local server said
    export LM_RUNTIME_DIR=$work/runtime
    rm -rf "$LM_RUNTIME_DIR"
    mkdir "$LM_RUNTIME_DIR"
    ./server &
    server=$!
    for _ in $(seq 2400); do
        said=$(./client) && break
        sleep 0.05
    done
    [ "$said" = lol ] || fail "$1 says '$said'"
    kill $server
    wait $server 2>/dev/null
}

# The built programs must also work, with each libc.
check_pair_runs()
{
    local compiler
    for compiler in gcc musl-gcc; do
        expect_builds 'the pair' "$compiler" -std=c11 "${strict[@]}" server.c -o server
        expect_builds 'the pair' "$compiler" -std=c11 "${strict[@]}" client.c -o client
        talks "the pair built with $compiler"
    done
}

# If a service's callback needs no cast, no function is called as another type.
check_function_types()
{
    cat >typed.cpp <<'SOURCE'
#include <LightMessaging/LightMessaging.h>
static void answer(LMServiceRef service, LMMessage *message, CFIndex size, void *info)
{
    (void)service, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, "lol", 4);
}
int main()
{
    LMServiceOptions options = {};
    options.callback = answer;
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    kern_return_t result = LMStartServiceWithOptions("com.example.lol", loop, NULL, NULL, &options, NULL);
    if (result == 0)
        CFRunLoopRun();
    return result;
}
SOURCE
    expect_builds 'a typed callback' clang++ -std=c++17 "${strict[@]}" -fsanitize=function -fno-sanitize-recover=all \
        typed.cpp -o server
    expect_builds 'a client' gcc -std=c11 "${strict[@]}" client.c -o client
    talks 'a service with a typed callback'
}

# The library's code in one unit, declarations in the others, each in C or C++; and one unit that keeps code of
# its own.
check_separate()
{
    local c=(gcc -std=c11 -O2 "${strict[@]}" -Wmissing-prototypes -DLIGHTMESSAGING_SEPARATE -c)
    local cpp=(g++ -std=c++17 -O2 "${strict[@]}" -DLIGHTMESSAGING_SEPARATE -c)
    local libraries code header side
    read -ra libraries < <(pkg-config --cflags --libs cairo libpng libplist-2.0)
    echo '#define LIGHTMESSAGING_IMPLEMENTATION' >code.c
    printf '#include <%s>\n' "${public[@]}" "${helpers[@]}" LightMessaging/{PropertyList,ImagePNG,ImageCairo}.h >>code.c
    cp code.c code.cpp
    { echo '#define LIGHTMESSAGING_TIMEOUT 1'; sed 's/main(void)/timed(void);\nint timed(void)/' client.c; } >timed.c
    expect_builds 'all code' "${c[@]}" "${libraries[@]}" code.c -o code_c.o
    expect_builds 'all code in C++' "${cpp[@]}" "${libraries[@]}" code.cpp -o code_cpp.o
    expect_builds 'a unit with code of its own' "${c[@]}" timed.c -o timed.o
    for side in client server; do
        expect_builds 'declarations' "${c[@]}" $side.c -o ${side}_c.o
        expect_builds 'declarations in C++' "${cpp[@]}" $side.cpp -o ${side}_cpp.o
        [ "$(size ${side}_c.o | awk 'NR == 2 { print $1 }')" -lt 2048 ] ||
            fail "code in a unit that asked for declarations"
    done
    for header in "${public[@]}" "${helpers[@]}" LightMessaging/{PropertyList,ImagePNG,ImageCairo}.h; do
        printf '#include <%s>\nint main(void) { return 0; }\n' "$header" >alone.c
        expect_builds "declarations of $header" "${c[@]}" "${libraries[@]}" alone.c -o alone.o
    done
    for code in c cpp; do
        for side in client server; do
            expect_builds 'a program of units' g++ ${side}_$code.o code_c.o timed.o "${libraries[@]}" -o $side
            expect_builds 'a program of units' g++ ${side}_$code.o code_cpp.o timed.o "${libraries[@]}" -o $side
        done
        talks "the pair of $code with its code in C++"
    done
}

# installed KIND: the compilers of a kind, gcc or clang, with a C++ compiler beside them; one of each version.
installed()
{
    local name version seen=' '
    for name in "$1" $(compgen -c "$1-" | grep -E "^$1-[0-9]+$" | sort -u); do
        command -v "$(c_plus_plus "$name")" >/dev/null && version=$("$name" -dumpversion) || continue
        [[ $seen == *" ${version%%.*} "* ]] && continue
        seen+="${version%%.*} "
        echo "$name"
    done
}

c_plus_plus()
{
    sed 's/^gcc/g++/; s/^clang/clang++/' <<<"$1"
}

# compiles_in_all_modes COMMAND...: optimised in the standard that is named first, else only parsed.
compiles_in_all_modes()
{
    local mode options
    for mode in '' '-DLIGHTMESSAGING_SEPARATE' '-DLIGHTMESSAGING_SEPARATE -DLIGHTMESSAGING_TIMEOUT=300' \
        '-DLIGHTMESSAGING_IMPLEMENTATION' '-DLIGHTMESSAGING_USE_ROCKETBOOTSTRAP=0'; do
        read -ra options <<<"$mode"
        expect_builds 'strict warnings' "$@" "${options[@]}"
    done
}

# The public macros that a program may use; the others are how a header is built.
public_macros()
{
    grep -hoE '^#define [A-Za-z0-9_]+' "$root"/include/{LightMessaging,rocketbootstrap}/*.h \
        "$root/include/LightMessaging/detail/ground/limits.h" | awk '{ print $2 }' | sort -u |
        grep -vE '_H$|^LM_VERSION_TEXT|^LM_FOUNDATION$|^LIGHTMESSAGING_USE_'
}

# warns_of_casts FILE OPTION...: each C++ compiler must warn of a cast in C's style.
warns_of_casts()
{
    local compiler
    for compiler in g++ clang++; do
        "$compiler" -std=c++17 -Wold-style-cast -fsyntax-only -x c++ "${@:2}" "${libraries[@]}" \
            -I "$root/include" "$1" 2>&1 | grep -q 'Wold-style-cast' || fail "no warning of a cast by $compiler $*"
    done
}

# strictly_compiles COMPILER: the program in C and, by the C++ compiler beside it, in C++.
strictly_compiles()
{
    local standard how program=$root/tests/public_interface.c
    local strictest=("${strict[@]}" -Wsign-conversion -Wundef -Wshadow -Wcast-qual -Wredundant-decls "${libraries[@]}")
    local c=(-Wmissing-prototypes -Wstrict-prototypes)
    local cpp=(-x c++ -Wold-style-cast -Wzero-as-null-pointer-constant -Wmissing-declarations)
    [[ $1 == gcc* ]] && cpp+=(-Wuseless-cast)
    how=(-O2 "${compile_only[@]}")
    for standard in "${c_standards[@]}"; do
        compiles_in_all_modes "$1" "-std=$standard" "${strictest[@]}" "${c[@]}" "$program" "${how[@]}"
        how=(-fsyntax-only)
    done
    how=(-O2 "${compile_only[@]}")
    for standard in "${cpp_standards[@]}"; do
        compiles_in_all_modes "$(c_plus_plus "$1")" "-std=$standard" "${strictest[@]}" "${cpp[@]}" "$program" \
            "${how[@]}"
        how=(-fsyntax-only)
    done
}

# A program that uses every public macro, with more warnings than most use: by every compiler that is installed, or in
# the small form by one of each kind.
check_warnings()
{
    local macro kind compiler libraries compilers header c_standards=(c17 c11 c2x) cpp_standards=(c++17 c++20 c++2b)
    # The warnings of other libraries' headers are theirs.
    read -ra libraries < <(pkg-config --cflags cairo libpng libplist-2.0 | sed 's/-I */-isystem /g')
    [ "$(public_macros | wc -l)" -gt 40 ] || fail 'the search for public macros finds too little'
    for macro in $(public_macros); do
        grep -qw "$macro" "$root/tests/public_interface.c" || fail "public_interface.c does not use $macro"
    done
    if [ "${LM_MATRIX-whole}" = small ]; then
        c_standards=(c11) cpp_standards=(c++17)
        strictly_compiles gcc
        strictly_compiles clang
    else
        for kind in gcc clang; do
            mapfile -t compilers < <(installed $kind)
            [ ${#compilers[@]} -ge 2 ] || fail "of $kind, fewer than two versions were found: ${compilers[*]}"
            for compiler in "${compilers[@]}"; do
                echo "$compiler, version $("$compiler" -dumpversion)"
                strictly_compiles "$compiler"
            done
        done
    fi
    # The check finds a fault in a macro, and no header silences what comes after it.
    cp -r "$root/include" changed
    sed -i 's/^#define MACH_PORT_NULL .*/#define MACH_PORT_NULL ((mach_port_t)0)/' changed/LightMessaging/Mach.h
    warns_of_casts "$root/tests/public_interface.c" -I changed
    for header in "${public[@]}" "${helpers[@]}" LightMessaging/{PropertyList,ImagePNG,ImageCairo}.h; do
        printf '#include <%s>\nint after(long number) { return (int)number; }\n' "$header" >after.cpp
        warns_of_casts after.cpp
    done
}

libc_headers=(stdio.h stdlib.h string.h unistd.h errno.h fcntl.h pthread.h signal.h time.h sys/socket.h sys/un.h
    sys/stat.h sys/mman.h sys/epoll.h sys/time.h sys/uio.h sys/syscall.h poll.h stddef.h stdint.h limits.h)

# Each header alone, and before and after libc's headers.
check_orders()
{
    local header standard
    for header in "${public[@]}" "${helpers[@]}"; do
        printf '#include <%s>\nint main(void) { return 0; }\n' "$header" >alone.c
        cp alone.c alone.cpp
        expect_builds "$header alone" gcc -std=c11 "${strict[@]}" alone.c -o out
        expect_builds "$header alone" g++ -std=c++17 -Wshadow "${strict[@]}" alone.cpp -o out
        printf '#include <%s>\n' "$header" "${libc_headers[@]}" >first.c
        { printf '#include <%s>\n' "${libc_headers[@]}"; printf '#include <%s>\n' "$header"; } >last.c
        { echo '#define _GNU_SOURCE'; cat last.c; } >gnu_last.c
        { echo '#define _GNU_SOURCE'; cat first.c; } >gnu_first.c
        for standard in c11 gnu11; do
            for file in first last gnu_last gnu_first; do
                expect_builds "$header $file" gcc -std=$standard "${strict[@]}" $file.c "${compile_only[@]}"
            done
        done
        for file in first last gnu_last gnu_first; do
            expect_builds "$header $file with musl" musl-gcc -std=c11 "${strict[@]}" $file.c "${compile_only[@]}"
        done
    done
}

# Each header after each of the others.
check_order_of_two()
{
    local one two
    for one in "${public[@]}"; do
        for two in "${public[@]}"; do
            printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$one" "$two" >both.c
            expect_builds "$one, then $two" gcc -std=c11 "${strict[@]}" both.c "${compile_only[@]}"
        done
    done
    printf '#include <%s>\n' "${helpers[@]}" >helpers.c
    tac helpers.c >helpers_back.c
    expect_builds 'all helpers' gcc -std=c11 "${strict[@]}" -c helpers.c -o out
    expect_builds 'all helpers, from the last on' gcc -std=c11 "${strict[@]}" -c helpers_back.c -o out
}

prefixes='^(LM|lm_|CF|kCF|mach_|MACH_|KERN_|BOOTSTRAP_|LIGHTMESSAGING_|ROCKETBOOTSTRAP_|rocketbootstrap_|msgh_)'
names='^(task_get_bootstrap_port|name_t|kern_return_t|Boolean|UInt8|SInt32|UInt32)$'

# The system headers that LightMessaging.h includes, alone: the names that they define do not count. Headers of other
# libraries are included only on demand.
write_baseline()
{
    grep -rhoE '^ *# *include <[^>]*>' "$root/include" |
        grep -vE 'LightMessaging|rocketbootstrap|Foundation/|AppKit/|plist/|png|cairo|math' |
        sed 's/^ *# */#/' | sort -u >baseline.c
    echo '#include <LightMessaging/LightMessaging.h>' >subject.c
}

macros()
{
    gcc -std=c11 -I "$root/include" -dM -E "$1" | sed -E 's/^#define ([A-Za-z_0-9]+).*/\1/' | sort -u
}

# Functions, objects, types, tags and enumerators at file scope, from the library's files only.
declared()
{
    gcc -std=c11 -g -fno-eliminate-unused-debug-types -fno-eliminate-unused-debug-symbols -fkeep-static-functions \
        -fkeep-inline-functions -I "$root/include" -c "$1" -o names.o
    readelf --debug-dump=info names.o 2>/dev/null | awk '
        /<[0-9a-f]+><[0-9a-f]+>: Abbrev Number/ { depth = $1; sub(/^</, "", depth); sub(/>.*/, "", depth); tag = $NF }
        /DW_AT_name/ {
            wanted = (depth == 1 && tag !~ /compile_unit|base_type/) || tag ~ /enumerator/
            name = $0; sub(/.*DW_AT_name +: /, "", name); sub(/^\(.*\): /, "", name); sub(/ +$/, "", name)
            if (wanted) print name
        }' | sort -u >every.name
    nm --undefined-only --format=just-symbols names.o | sort -u >libc.name # libc's own do not count
    comm -23 every.name libc.name
}

check_names()
{
    write_baseline
    local kind
    for kind in macros declared; do
        $kind baseline.c >"$kind.before"
        $kind subject.c >"$kind.after"
        [ "$(comm -13 "$kind.before" "$kind.after" | wc -l)" -gt 50 ] || fail "the search for $kind finds too little"
        comm -13 "$kind.before" "$kind.after" | grep -vE "$prefixes" | grep -vE "$names" >"$kind.leaked" &&
            fail "names leaked ($kind): $(tr '\n' ' ' <"$kind.leaked")"
    done
    gcc -std=c11 -I "$root/include" -c server.c -o server.o
    nm --defined-only --extern-only server.o | awk '{ print $3 }' |
        grep -vE "$prefixes|^lightmessaging_|^main$" >symbols.leaked &&
        fail "symbols leaked: $(tr '\n' ' ' <symbols.leaked)"
}

check_units_and_plugin()
{
    local compile=(gcc -std=c11 -D_GNU_SOURCE "${strict[@]}")
    export LM_RUNTIME_DIR=$work/runtime-plugin
    mkdir "$LM_RUNTIME_DIR"
    expect_builds 'two units' "${compile[@]}" "$root/tests/plugin_main.c" "$root/tests/plugin_unit.c" -o program
    expect_builds 'the plugin' "${compile[@]}" -DPLUGIN -shared -fPIC "$root/tests/plugin_unit.c" -o plugin.so
    ./program ./plugin.so || fail 'two units and a plugin share a program'
    expect_builds 'a plugin of another version' "${compile[@]}" -DPLUGIN -DLM_BINARY_INTERFACE=999 -shared -fPIC \
        "$root/tests/plugin_unit.c" -o plugin.so
    ./program ./plugin.so || fail 'two units and a plugin of another version share a program'
    local shared
    shared=$(nm --defined-only program | grep -c ' [VvWw] lm_process')
    [ "$shared" -eq 1 ] || fail "the program has $shared shared states, not 1"
}

# links WHAT ...: the program of one.o and two.o, with each linker, and runs.
links()
{
    local linker
    for linker in "${linkers[@]}"; do
        expect_builds "$1, by $linker" "${@:2}" -fuse-ld="$linker" one.o two.o -o program
        ./program || fail "$1, by $linker, does not run"
    done
}

# refuses WHAT ...: no linker links them, and all say why.
refuses()
{
    local linker
    for linker in "${linkers[@]}"; do
        "${@:2}" -fuse-ld="$linker" one.o two.o -o program 2>said && fail "$1 link by $linker"
        grep -q 'lightmessaging_error_units_of_different_binary_interfaces' said ||
            fail "$1, by $linker, without a reason: $(head -n 3 said)"
    done
}

# two_units COMPILER OPTION...: the second in C and in C++; of the same binary interface, and of another.
two_units()
{
    local compiler=$1 file
    shift
    expect_builds 'a unit' "$compiler" "${includes[@]}" "$@" -c one.c -o one.o
    for file in two.c two.cpp; do
        expect_builds 'a unit' "$compiler" "${includes[@]}" "$@" -c $file -o two.o
        links "units of $compiler $* and $file" "$compiler" "$@"
        expect_builds 'a unit' "$compiler" "${includes[@]}" "$@" -DLM_BINARY_INTERFACE=999 -c $file -o two.o
        refuses "different units of $compiler $* and $file" "$compiler" "$@"
    done
}

# Units that were compiled with headers of different versions must not become one program.
check_binary_interface()
{
    local compiler target linker linkers=() all_linkers=() includes=(-D_GNU_SOURCE -I "$root/include")
    # For clang, which complains of the linker's options where nothing is linked.
    includes+=(-Wno-unused-command-line-argument)
    for linker in bfd gold lld mold; do
        command -v "ld.$linker" >/dev/null && all_linkers+=("$linker")
    done
    [ ${#all_linkers[@]} -ge 2 ] || fail "of the linkers, only ${all_linkers[*]} were found"
    printf '#include <LightMessaging/LightMessaging.h>\n' >one.c
    cp one.c two.c
    echo 'int two(void); int main(void) { return two() + mach_port_deallocate(mach_task_self(), 0); }' >>one.c
    echo 'LM_EXTERN_C int two(void); int two(void) { return mach_port_deallocate(mach_task_self(), 0); }' >>two.c
    cp two.c two.cpp
    for compiler in gcc clang; do
        linkers=("${all_linkers[@]}")
        two_units $compiler -O0
        two_units $compiler -O2 -fPIC -ffunction-sections -fdata-sections -Wl,--gc-sections
        two_units $compiler -O2 -static
        # One unit has the library's code, the other its declarations.
        expect_builds 'declarations' $compiler "${includes[@]}" -O2 -DLIGHTMESSAGING_SEPARATE -c one.c -o one.o
        expect_builds 'code' $compiler "${includes[@]}" -O2 -DLIGHTMESSAGING_IMPLEMENTATION -c two.c -o two.o
        links "declarations and code of $compiler" $compiler
        expect_builds 'code' $compiler "${includes[@]}" -O2 -DLIGHTMESSAGING_IMPLEMENTATION \
            -DLM_BINARY_INTERFACE=999 -c two.c -o two.o
        refuses "declarations and other code of $compiler" $compiler
        # lld does no link-time optimization for gcc.
        [ $compiler = gcc ] && mapfile -t linkers < <(printf '%s\n' "${all_linkers[@]}" | grep -v lld)
        two_units $compiler -O2 -flto
    done
    two_units clang -O2 -flto=thin
    check_mixed_optimization
    # What the assembler gets is the same for all processors. This header needs no libc for them.
    printf '#include <LightMessaging/detail/ground/interface.h>\n' >interface.c
    for target in x86_64-linux-gnu i686-linux-gnu aarch64-linux-gnu arm-linux-gnueabihf riscv64-linux-gnu; do
        expect_builds "a unit for $target" clang --target=$target "${includes[@]}" -c interface.c -o out
    done
}

# What is optimized when it is linked, before and after what is not.
check_mixed_optimization()
{
    local options
    for options in '-flto one two' '-flto two one' '-flto=thin one two' '-flto=thin two one'; do
        set -- $options
        expect_builds 'a unit' clang "${includes[@]}" -O2 "$1" -c "$2.c" -o "$2.o"
        expect_builds 'a unit' clang "${includes[@]}" -O2 -c "$3.c" -o "$3.o"
        links "$2 of $1" clang "$1" -O2
        expect_builds 'a unit' clang "${includes[@]}" -O2 -DLM_BINARY_INTERFACE=999 -c "$3.c" -o "$3.o"
        refuses "$2 of $1" clang "$1" -O2
    done
}

# Objective-C, with and without Foundation. Foundation's own headers cause warnings.
check_objective_c()
{
    local objective_c=(gcc -x objective-c -std=gnu11 "${strict[@]}") side
    local foundation=(-isystem "$(gnustep-config --variable=GNUSTEP_SYSTEM_HEADERS)" -fobjc-exceptions -fexceptions
        -D_NATIVE_OBJC_EXCEPTIONS -fconstant-string-class=NSConstantString)
    for side in client server; do
        expect_builds 'the classic pair in Objective-C' "${objective_c[@]}" $side.c -o out
        expect_builds 'the classic pair in Objective-C with clang' clang -x objective-c -std=gnu11 \
            "${strict[@]}" $side.c -o out
        expect_builds 'the classic pair with Foundation' "${objective_c[@]}" "${foundation[@]}" $side.c -o out \
            -lgnustep-base -lobjc
        expect_builds 'code of its own in Objective-C' "${objective_c[@]}" -DLIGHTMESSAGING_SEPARATE $side.c -o out
    done
    "${objective_c[@]}" -DLIGHTMESSAGING_IMPLEMENTATION -c client.c -o out 2>errors &&
        fail 'code for other units in Objective-C'
    grep -q 'in a file in C or C++' errors || fail 'code for other units in Objective-C is refused without a reason'
    printf '#import <%s>\n' "${public[@]}" "${helpers[@]}" >all.m
    expect_builds 'all headers with Foundation' "${objective_c[@]}" "${foundation[@]}" -c all.m -o out
    sed 's/main/other/' client.c >other.c
    expect_builds 'two units with Foundation' "${objective_c[@]}" "${foundation[@]}" client.c other.c -o out \
        -lgnustep-base -lobjc
}

# Headers that need another library.
check_libraries()
{
    local header flags
    read -ra flags < <(pkg-config --cflags cairo libpng libplist-2.0)
    for header in PropertyList ImagePNG ImageCairo; do
        printf '#include <LightMessaging/%s.h>\nint main(void) { return 0; }\n' $header >library.c
        cp library.c library.cpp
        expect_builds "$header.h" gcc -std=c11 "${strict[@]}" "${flags[@]}" -c library.c -o out
        expect_builds "$header.h" clang -std=c11 "${strict[@]}" "${flags[@]}" -c library.c -o out
        expect_builds "$header.h in C++" g++ -std=c++17 "${strict[@]}" "${flags[@]}" -c library.cpp -o out
    done
}

# Programs for RocketBootstrap find its helpers for CFMessagePort in its own header.
check_rocketbootstrap()
{
    cat >helpers_of_rocketbootstrap.c <<'SOURCE'
#include <rocketbootstrap/rocketbootstrap.h>
int main(void)
{
    CFMessagePortRef port = rocketbootstrap_cfmessageportcreateremote(NULL, NULL);
    return rocketbootstrap_cfmessageportexposelocal(port) != KERN_INVALID_ARGUMENT;
}
SOURCE
    cp helpers_of_rocketbootstrap.c helpers_of_rocketbootstrap.cpp
    expect_builds "RocketBootstrap's helpers" gcc -std=c11 "${strict[@]}" helpers_of_rocketbootstrap.c -o out
    ./out || fail "RocketBootstrap's helpers"
    expect_builds "RocketBootstrap's helpers in C++" g++ -std=c++17 "${strict[@]}" helpers_of_rocketbootstrap.cpp -o out
}

# Beside another library that has CoreFoundation's names.
check_aside()
{
    local compile=(gcc -std=c11 -D_POSIX_C_SOURCE=200809L -DLIGHTMESSAGING_USE_COREFOUNDATION=1 -I "$root/tests/aside"
        "${strict[@]}")
    local libraries
    read -ra libraries < <(pkg-config --cflags --libs cairo libpng libplist-2.0)
    export LM_RUNTIME_DIR=$work/runtime-aside
    mkdir "$LM_RUNTIME_DIR"
    expect_builds 'beside a CoreFoundation' "${compile[@]}" "$root/tests/aside/aside.c" "${libraries[@]}" -o program
    ./program || fail 'a program beside a CoreFoundation'
}

parts=(orders compilers warnings separate function_types objective_c libraries order_of_two pair_runs names
    units_and_plugin binary_interface rocketbootstrap aside)
[ $# -gt 0 ] && parts=("$@")
write_pair
for part in "${parts[@]}"; do
    declare -F "check_$part" >/dev/null || fail "there is no part $part"
    "check_$part"
done
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
echo 'all as promised'
