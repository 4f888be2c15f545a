import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs import acl


def test_permissions_in_both_forms():
    assert acl.permissions("0750") == "rwxr-x---"
    assert acl.permissions("777") == "rwxrwxrwx"
    assert acl.permissions("rwxr-x--t") == "rwxr-x--t"
    assert acl.of_permissions("rwxr-x--t") == "user::rwx,group::r-x,other::--x"


@pytest.mark.parametrize("text", ["", "rwx", "0999", "rwxrwxrwz", "u+x"])
def test_nonsense_is_refused(text):
    with pytest.raises(ArmError):
        acl.permissions(text)


def test_modes_of_change():
    old = "user::rwx,group::r-x,other::---"
    modified = acl.combine(old, "user:bob:rw-,other::r--", "modify")
    assert modified == "user::rwx,group::r-x,other::r--,user:bob:rw-"
    assert acl.combine(modified, "user:bob", "remove") == "user::rwx,group::r-x,other::r--"
    assert acl.combine(old, "user::r--,group::r--,other::r--", "set") == "user::r--,group::r--,other::r--"
    with pytest.raises(ArmError):
        acl.combine(old, "user::r--", "set")
    with pytest.raises(ArmError):
        acl.combine(old, "user:bob:rwx", "remove")


def test_the_mask_stands_for_the_group():
    assert acl.permissions_of("user::rwx,group::rwx,mask::r--,other::---", "---------") == "rwxr-----"
