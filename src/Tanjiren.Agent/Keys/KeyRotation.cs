namespace Tanjiren.Agent.Keys;

/// <summary>A rotation of the key as a person at the machine starts it and sees it.</summary>
public static class KeyRotation
{
    /// <summary>
    /// Makes the new key of the agent in <paramref name="home"/>, or finds the one that waits already, and answers its fingerprint. Asking for it is the agent's: the one
    /// that runs does it within seconds, any other at its start.
    /// </summary>
    public static string Start(string home, Keychain? keychain = null)
    {
        using var key = new SuccessorKey(new AgentHome(home, keychain)).Prepare();
        return key.Fingerprint;
    }

    /// <summary>Where the key in use lies: <c>keychain</c> or <c>file</c>; null when there is none, or its file can't be read.</summary>
    public static string? WhereKeyLies(string home)
    {
        try
        {
            if (!Directory.Exists(home)) return null;
            var store = new FileKeyStore(new AgentHome(home).Key);
            return store.Entry() is not null ? "keychain" : store.Fingerprint() is not null ? "file" : null;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Fingerprint of the new key of a rotation that waits for an admin; null when none does, or it can't be read.</summary>
    public static string? Waiting(string home) => Shown(home, place => place.RotationKey);

    /// <summary>Fingerprint of the key of a recovery that is under way, or was stopped; null when there is none, or it can't be read.</summary>
    public static string? Recovering(string home) => Shown(home, place => place.RecoveryKey);

    /// <summary>Fingerprints of every key that waits in the home: any of them may have been approved while nothing ran here.</summary>
    /// <exception cref="InvalidDataException">One can't be read: it may be the one that counts.</exception>
    public static IReadOnlyList<string> All(string home)
    {
        if (!Directory.Exists(home)) return [];
        var place = new AgentHome(home);
        return [.. new[] { place.RotationKey, place.RecoveryKey }.Select(FingerprintOf).OfType<string>()];
    }

    private static string? Shown(string home, Func<AgentHome, string> path)
    {
        try
        {
            return Directory.Exists(home) ? FingerprintOf(path(new AgentHome(home))) : null;
        }
        catch (InvalidDataException)
        {
            // Whoever would use it says so: the running agent in its notice.
            return null;
        }
    }

    // The keychain is not asked: the name of an entry says whose key it is.
    private static string? FingerprintOf(string path) => new FileKeyStore(path).Fingerprint();
}
