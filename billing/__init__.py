"""The money: knows no chat and no hypervisor."""
