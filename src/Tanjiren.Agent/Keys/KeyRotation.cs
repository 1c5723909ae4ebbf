namespace Tanjiren.Agent.Keys;

/// <summary>A rotation of the key as a person at the machine starts it and sees it.</summary>
public static class KeyRotation
{
    /// <summary>
    /// Makes the new key of the agent in <paramref name="home"/>, or finds the one that waits already, and answers its fingerprint. Asking for it is the agent's: the one
    /// that runs does it within seconds, any other at its start.
    /// </summary>
    public static string Start(string home)
    {
        using var key = new SuccessorKey(new AgentHome(home)).Prepare();
        return key.Fingerprint;
    }

    /// <summary>Fingerprint of the new key that waits for an admin, in a rotation or a recovery; null when none does.</summary>
    public static string? Waiting(string home)
    {
        if (!Directory.Exists(home)) return null;
        var place = new AgentHome(home);
        foreach (var path in new[] { place.RecoveryKey, place.RotationKey })
        {
            try
            {
                if (new FileKeyStore(path).Load() is not { } key) continue;
                using var waiting = new DeviceKey(key);
                return waiting.Fingerprint;
            }
            catch (InvalidDataException)
            {
                // Whoever would use it says so: the running agent in its notice.
            }
        }
        return null;
    }
}
