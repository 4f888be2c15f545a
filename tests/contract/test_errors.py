import errno

from lazward.contract.errors import ArmError, as_arm_error


class TestAsArmError:
    def test_one_of_ours_stays(self):
        error = ArmError(400, "Bad", "no")
        assert as_arm_error(error) is error

    def test_a_full_disk_is_said(self):
        for number in (errno.ENOSPC, errno.EDQUOT):
            error = as_arm_error(OSError(number, "No space left on device", "/somewhere"))
            assert (error.status, error.code) == (507, "InsufficientStorage") and "full" in error.message

    def test_any_other_keeps_its_name(self):
        error = as_arm_error(OSError(errno.EIO, "broken"))
        assert (error.status, error.code) == (500, "InternalError") and "OSError" in error.message
