#!/usr/bin/env python3
"""Fails where files or folders of one crate import each other in a circle; part of `make check`.

    scripts/check/circles.py              every crate of the workspace
    scripts/check/circles.py CRATE/src... these crates
    scripts/check/circles.py --self-test  a small crate with a circle, which must be found, and one without

An import is a path in code that begins with `crate`, `self` or `super` (or with the name of a child module), in a `use` or not.
It leads to the file that defines the item: re-exports (`pub use`) are followed. Declaring a child module and
re-exporting its items is no import; tests and comments do not count. A folder imports what its files import; folders and
files are compared with those beside them.
"""
import re
import sys
import tempfile
from pathlib import Path

PATH = re.compile(r"(?<![\w:$])(?:crate|self|super|[a-z_][a-z0-9_]*)(?:::[A-Za-z_]\w*)+|(?<![\w:$])(?:crate|self|super)(?=::\{)")


class Crate:
    """The modules of one crate: files, what each re-exports, what each imports."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for file in sorted(root.rglob("*.rs")):
            parts = list(file.relative_to(root).with_suffix("").parts)
            if parts == ["main"] or parts[-1] == "tests" or parts[-1].endswith("_tests"):
                continue
            if parts[-1] in ("lib", "mod"):
                parts.pop()
            self.files[tuple(parts)] = file
        self.code = {module: strip(file.read_text()) for module, file in self.files.items()}
        self.uses = {module: list(used_paths(code)) for module, code in self.code.items()}
        self.exports = {module: self.exports_of(module) for module in self.files}

    def exports_of(self, module):
        """Names that a module re-exports, with the paths behind them; `*` for globs."""
        found = {}
        for public, path, name in self.uses[module]:
            if public:
                found.setdefault(name, []).append(path)
        return found

    def absolute(self, module, path):
        """A path from the crate's root, or None where it leads into another crate."""
        parts, at = list(path), list(module)
        if parts[0] == "crate":
            return parts[1:]
        if parts[0] == "self":
            return at + parts[1:]
        if parts[0] == "super":
            while parts and parts[0] == "super":
                parts.pop(0)
                at = at[:-1]
            return at + parts
        if tuple(at + parts[:1]) in self.files:
            return at + parts
        return None

    def defining(self, absolute, seen=()):
        """The module whose file defines what this path names."""
        module = ()
        for length in range(len(absolute), -1, -1):
            if tuple(absolute[:length]) in self.files:
                module = tuple(absolute[:length])
                break
        rest = absolute[len(module):]
        if not rest or (module, rest[0]) in seen:
            return module
        name, seen = rest[0], (*seen, (module, rest[0]))
        if re.search(rf"\b(?:struct|enum|trait|fn|type|const|static|union|mod)\s+{name}\b", self.code[module]):
            return module
        for path in self.exports[module].get(name, []) + self.exports[module].get("*", []):
            target = self.absolute(module, path)
            if target is None:
                continue
            glob = path not in self.exports[module].get(name, [])
            found = self.defining(target + rest if glob else target + rest[1:], seen)
            if not glob or re.search(rf"\b{name}\b", self.code.get(found, "")):
                return found
        return module

    def edges(self):
        """For each module, the modules of the same crate that its code imports."""
        out = {}
        for module in self.files:
            targets = set()
            for public, path, _ in self.uses[module]:
                absolute = self.absolute(module, path)
                if absolute is not None and not public:
                    targets.add(self.defining(absolute))
            out[module] = targets - {module}
        return out


# In this order at each position: a comment, a raw string, a string, a character.
NO_CODE = re.compile(
    r"//[^\n]*|/\*.*?\*/" r'|\bb?r(#*)".*?"\1|"(?:\\.|[^"\\])*"' r"|'(?:\\[^']+|[^'\\])'", re.S
)


def strip(text):
    """Code without comments, strings, characters and unit tests."""
    text = re.sub(r"pub\(in [^)]*\)", "pub", NO_CODE.sub('""', text))
    return re.split(r"#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod \w+ \{", text)[0]


def used_paths(code):
    """(re-exported?, path, name) for each path in code; groups in `use` are unfolded."""
    for match in re.finditer(r"(?m)^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", code):
        public = bool(match.group(1))
        for path, name in unfold(re.sub(r"\s+", " ", match.group(2)).strip()):
            yield public, path, name
    rest = re.sub(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+[^;]+;", "", code)
    for match in PATH.finditer(rest):
        path = tuple(match.group(0).split("::"))
        yield False, path, path[-1]


def unfold(tree, prefix=()):
    """The single paths of a `use` tree, each with the name that it brings into scope."""
    head, brace, group = tree.partition("{")
    if brace:
        base = prefix + tuple(p for p in head.split("::") if p.strip())
        for part in split(group[: group.rindex("}")]):
            yield from unfold(part.strip(), base)
        return
    path, _, alias = tree.partition(" as ")
    parts = prefix + tuple(p.strip() for p in path.split("::") if p.strip())
    if parts and parts[-1] == "self":
        parts = parts[:-1]
    if parts[-1:] == ("*",):
        yield parts[:-1], "*"
    elif parts:
        yield parts, alias.strip() or parts[-1]


def split(group):
    """Splits at commas outside braces."""
    depth, part = 0, ""
    for char in group:
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            yield part
            part = ""
        else:
            part += char
    if part.strip():
        yield part


def circles(edges):
    """Strongly connected components of two modules or more (Tarjan, without recursion)."""
    index, low, stack, on_stack, found = {}, {}, [], set(), []
    for start in edges:
        if start in index:
            continue
        work = [(start, iter(sorted(edges[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    if len(component) > 1:
                        found.append(sorted(component))
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(sorted(edges.get(target, ())))))
            elif target in on_stack:
                low[node] = min(low[node], index[target])
    return found


def beside(edges, parent):
    """The imports between the folders and files that lie in one folder."""
    depth, out, why = len(parent), {}, {}
    inside = [module for module in edges if module[:depth] == parent and len(module) > depth]
    for module in inside:
        own = module[: depth + 1]
        out.setdefault(own, set())
        for target in edges[module]:
            other = target[: depth + 1]
            if target[:depth] == parent and len(target) > depth and other != own:
                out[own].add(other)
                why.setdefault((own, other), (module, target))
    return out, why


def check(root):
    crate = Crate(root)
    edges = crate.edges()
    found = circles(edges)
    yield from found
    for parent in sorted({module[:depth] for module in crate.files for depth in range(len(module))}):
        imports, why = beside(edges, parent)
        for circle in circles(imports):
            if any(set(circle) <= {module for module in files} for files in found):
                continue
            print(f"{root}: these import each other in a circle:")
            for own in circle:
                for other in sorted(imports[own] & set(circle)):
                    a, b = (crate.files[module].relative_to(root) for module in why[own, other])
                    print(f"  {'/'.join(own)} imports {'/'.join(other)}: {a} imports {b}")
            yield circle
    for circle in found:
        print(f"{root}: these files import each other in a circle:")
        for module in circle:
            inside = ", ".join(sorted(str(crate.files[t].relative_to(root)) for t in edges[module] if t in circle))
            print(f"  {crate.files[module].relative_to(root)} imports {inside}")


def self_test():
    good = {"lib.rs": "pub mod a; mod b; pub use b::B;", "a.rs": "use crate::B; // crate::c::C\n", "b.rs": "pub struct B;"}
    bad = good | {"b.rs": "pub struct B; fn f() -> super::a::A { todo!() }"}
    folders = {
        "lib.rs": "pub mod a; mod b;",
        "a/mod.rs": "pub mod one; pub mod two;",
        "a/one.rs": "pub struct One; use crate::b::B;",
        "a/two.rs": "pub struct Two;",
        "b.rs": "pub struct B; use crate::a::two::Two;",
    }
    for files, wanted in ((good, 0), (bad, 1), (folders, 1)):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            found = len(list(check(Path(folder))))
            if found != wanted:
                sys.exit(f"self-test: {found} circles found, {wanted} expected")
    print("self-test: passed")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    workspace = Path(__file__).resolve().parents[2]
    skipped = {"target", ".local"}
    libraries = (p for p in workspace.glob("**/src/lib.rs") if not skipped & set(p.parts))
    roots = [Path(argument) for argument in sys.argv[1:]] or sorted(p.parent for p in libraries)
    found = sum(len(list(check(root))) for root in roots)
    print(f"{len(roots)} crates, {found} circles")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
