using System.Security.Cryptography;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// Where one private key of the machine lives. The key is made on this machine and never leaves it; only proofs and the public half do (W-03).
/// </summary>
internal interface IKeyStore
{
    /// <summary>The key of this home, or null when there is none yet: only then, never because it can't be read.</summary>
    /// <exception cref="InvalidDataException">It is no key, others may read it, or it was deleted from the keychain.</exception>
    /// <exception cref="IOException">It can't be read now; <see cref="KeychainException"/>: because the keychain does not give it out.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read it.</exception>
    ECDsa? Load();

    /// <summary>Makes an ES256 (P-256) key and stores it durably before it is returned, so that nothing is ever bound to a key that a crash could lose.</summary>
    ECDsa Create();
}
