"""How does a checkpoint look in a browser of the terminal? A tree on the left, details beside it.

Made with Textual (https://textual.textualize.io). Titles come as `Text`: a stranger's name for a
tensor is shown, never taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text

from prunescope.extras import require
from prunescope.report.browser.entries import Entry, described
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from textual import app, binding, containers, widgets
    from textual.app import ComposeResult
    from textual.widgets.tree import TreeNode
else:
    app = require("textual.app", "browse")
    binding = require("textual.binding", "browse")
    containers = require("textual.containers", "browse")
    widgets = require("textual.widgets", "browse")


class Browser(app.App[None]):
    """The application; `run()` returns when the user leaves it."""

    CSS = """
    #tree { width: 55%; }
    #details { width: 45%; border-left: solid $primary; padding: 0 0 0 1; }
    #search { dock: top; display: none; }
    #search.shown { display: block; }
    """

    def __init__(self, title: str, entries: Sequence[Entry], say: Messages) -> None:
        """`title` names the checkpoint or the pair."""
        super().__init__()
        self.title = title
        self._entries = tuple(entries)
        self._say = say
        self._wanted = ""
        self._by_sparsity = False
        for key, action, message in (
            ("q", "quit", "browse_quit"),
            ("slash", "search", "browse_search"),
            ("s", "sort", "browse_sort"),
            ("e", "expand", "browse_expand"),
            ("escape", "clear", "browse_clear"),
        ):
            self.bind(key, action, description=say(message))

    BINDINGS: ClassVar[list[binding.BindingType]] = []

    def compose(self) -> ComposeResult:
        """Tree, details, a hidden search line, and the keys at the foot."""
        yield widgets.Header(show_clock=False)
        yield widgets.Input(placeholder=self._say("browse_search"), id="search")
        with containers.Horizontal():
            yield widgets.Tree[Entry](Text(self.title), id="tree")
            with containers.VerticalScroll(id="details"):
                yield widgets.Static(id="text")
        yield widgets.Footer()

    def on_mount(self) -> None:
        """Fill the tree."""
        self._fill()
        self.query_one("#tree").focus()

    def on_tree_node_highlighted(self, event: widgets.Tree.NodeHighlighted[Entry]) -> None:
        """Show the entry that the cursor is on."""
        entry = event.node.data
        self.query_one("#text", widgets.Static).update(self._described(entry) if entry else "")

    def on_tree_node_expanded(self, event: widgets.Tree.NodeExpanded[Entry]) -> None:
        """A layer's modules are made when it is opened: a model may have 90,000 tensors."""
        node = event.node
        if node.data is not None and not node.children:
            for child in self._ordered(node.data.children):
                node.add_leaf(self._label(child), data=child)

    def on_input_changed(self, event: widgets.Input.Changed) -> None:
        """Search while it is typed."""
        self._wanted = event.value
        self._fill()

    def on_input_submitted(self) -> None:
        """Back to the tree, with what was found."""
        self.query_one("#tree").focus()

    def action_search(self) -> None:
        """Show the search line."""
        line = self.query_one("#search", widgets.Input)
        line.add_class("shown")
        line.focus()

    def action_clear(self) -> None:
        """Show everything again."""
        line = self.query_one("#search", widgets.Input)
        line.remove_class("shown")
        line.value = ""
        self.query_one("#tree").focus()

    def action_sort(self) -> None:
        """By sparsity, most first; or in the order of the model."""
        self._by_sparsity = not self._by_sparsity
        self._fill()

    def action_expand(self) -> None:
        """Open all layers, or close them."""
        root = self.query_one("#tree", widgets.Tree).root
        is_open = any(node.is_expanded for node in root.children)
        for node in root.children:
            if node.allow_expand:
                (node.collapse if is_open else node.expand)()

    def _fill(self) -> None:
        root = self.query_one("#tree", widgets.Tree).root
        root.remove_children()
        for entry in self._ordered(self._entries):
            found = [child for child in entry.children if child.matches(self._wanted)]
            if not self._wanted or entry.matches(self._wanted) or found:
                self._add(root, entry, found if self._wanted else [])
        root.expand()

    def _add(self, root: TreeNode[Entry], entry: Entry, found: Sequence[Entry]) -> None:
        if not entry.children:
            root.add_leaf(self._label(entry), data=entry)
            return
        node = root.add(self._label(entry), data=entry)
        for child in self._ordered(found):
            node.add_leaf(self._label(child), data=child)
        if found:
            node.expand()

    def _ordered(self, entries: Iterable[Entry]) -> list[Entry]:
        if self._by_sparsity:
            return sorted(entries, key=lambda entry: -entry.counts.sparsity)
        return list(entries)

    def _label(self, entry: Entry) -> Text:
        label = Text(f"{entry.title}  ")
        label.append(f"{entry.counts.pruned:,}", "dim")
        if entry.counts.is_pruned:
            label.append(f"  -{100 * entry.counts.sparsity:.2f}%", "bold yellow")
        return label

    def _described(self, entry: Entry) -> Text:
        text = Text(f"{entry.title}\n\n", "bold")
        for heading, value in described(entry, self._say):
            text.append(f"{heading}\n", "cyan")
            text.append(f"  {value}\n", "default")
        return text
