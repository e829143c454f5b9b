#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks that installing needs only a C compiler, Meson and Ninja, and builds nothing; and that the installed files
# work, for the README's service and client with pkg-config, and as a subproject of another Meson project.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
unset CC CFLAGS LDFLAGS PKG_CONFIG_PATH DESTDIR

fail()
{
    echo "FAILED: $*"
    exit 1
}

# Hides everything else: no C++ and no Objective-C, no pkg-config, no GNUstep, no cmocka.
mkdir "$work/bin"
for tool in gcc as ld ar meson ninja; do
    ln -s "$(command -v $tool)" "$work/bin/$tool"
done
ln -s gcc "$work/bin/cc"

with_little()
{
    env PATH="$work/bin" "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }
}

with_little meson setup "$work/build" "$root"
cp "$work/log" "$work/setup.log"
with_little meson install -C "$work/build" --destdir "$work/d"
[ -z "$(find "$work/build" -name '*.o' -o -name '*.a' -o -name '*.so')" ] || fail 'something was built'
diff -r "$root/include" "$work/d/usr/local/include" || fail 'not all headers were installed, or more'

# The pair is the README's first two blocks of C.
block()
{
    awk -v wanted="$1" '/^```/ { inside = /^```c$/; n += inside; next } inside && n == wanted' "$root/README.md"
}
export PKG_CONFIG_PATH=$work/d/usr/local/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/d
read -ra flags < <(pkg-config --cflags --libs lightmessaging)

# The version is the same for pkg-config, for people and for the preprocessor, which has it as one number, too.
version=$(pkg-config --modversion lightmessaging)
[[ $version =~ ^([0-9]+)\.([0-9]+)\.([0-9]+)$ ]] || fail "the version is '$version'"
number=$((BASH_REMATCH[1] * 1000000 + BASH_REMATCH[2] * 1000 + BASH_REMATCH[3]))
cat >"$work/version.c" <<'SOURCE'
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>
int main(void)
{
    return printf("%s %d\n", LIGHTMESSAGING_VERSION_STRING, LIGHTMESSAGING_VERSION) < 0;
}
SOURCE
gcc -std=c11 "$work/version.c" "${flags[@]}" -o "$work/version" || fail 'a program that asks for the version'
[ "$("$work/version")" = "$version $number" ] || fail "pkg-config says $version, the header $("$work/version")"
grep -q "Project version: $version\$" "$work/setup.log" || fail "Meson's version is not $version"

block 1 >"$work/server.c"
block 2 >"$work/client.c"
for side in server client; do
    gcc -std=c11 "$work/$side.c" "${flags[@]}" -o "$work/$side" || fail "the README's $side"
done
export LM_RUNTIME_DIR=$work/runtime
mkdir "$LM_RUNTIME_DIR"
"$work/server" &
server=$!
for _ in $(seq 2400); do
    said=$("$work/client") && break
    sleep 0.05
done
[ "$said" = lol ] || fail "the README's client says '$said'"

mkdir -p "$work/project/subprojects"
ln -s "$root" "$work/project/subprojects/lightmessaging"
cp "$work/client.c" "$work/project"
cat >"$work/project/meson.build" <<'SOURCE'
project('user', 'c')
executable('client', 'client.c', dependencies : dependency('lightmessaging', fallback : 'lightmessaging'))
SOURCE
with_little meson setup "$work/project/build" "$work/project"
with_little meson compile -C "$work/project/build"
[ "$("$work/project/build/client")" = lol ] || fail 'the client of a project that has this as a subproject'
