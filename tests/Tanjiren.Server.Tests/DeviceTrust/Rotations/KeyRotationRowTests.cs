using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust.Rotations;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

public sealed class KeyRotationRowTests
{
    [Theory]
    [InlineData(999, KeyRotationState.Pending)]
    [InlineData(1000, KeyRotationState.Expired)]
    public void People_see_that_its_time_is_over_and_the_machine_what_is_stored(long now, KeyRotationState forPeople)
    {
        var row = new KeyRotationRow { Kind = "rotation", State = "pending", NewJkt = new string('A', KeyFingerprint.Length), ExpiresAt = 1000 };
        row.ToBody(DateTimeOffset.FromUnixTimeMilliseconds(now)).State.ShouldBe(forPeople);
        row.ToBody(now: null).State.ShouldBe(KeyRotationState.Pending, "an admin's approval may still be before anybody's word that it expired");
    }
}
