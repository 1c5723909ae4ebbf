using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Tanjiren.Agent.Keys;

/// <summary>Where new secrets go: <c>TANVRIT_KEYCHAIN</c>.</summary>
public enum KeychainUse
{
    /// <summary>Into the keychain where one answers, else into files that only the user may read.</summary>
    Auto,
    /// <summary>Into files. The keychain is asked nothing, not even for what lies there.</summary>
    File,
    /// <summary>Into the keychain; where none answers, nothing is kept and the command fails.</summary>
    Required,
}

/// <summary>
/// The user's keychain as this process sees it. Whether it takes new secrets is asked once a process. Every question has a limit, because a locked keyring may ask a person, who may not be there: the
/// question is then left to a thread of its own, and whoever asked goes on without an answer.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "A semaphore whose wait handle is never asked for holds nothing.")]
public sealed class Keychain
{
    /// <summary>Every entry's service (macOS), its attribute <c>service</c> (libsecret).</summary>
    public const string Service = "com.tanvrit.compute.cli";

    /// <summary>For finding out whether a keychain answers; one that takes longer is none.</summary>
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(5);

    /// <summary>For an entry that is known to be there: a person may be typing the password.</summary>
    private static readonly TimeSpan UseLimit = TimeSpan.FromSeconds(10);

    /// <summary>For a look: nobody is asked for a password, so one that takes longer has other troubles.</summary>
    private static readonly TimeSpan LookLimit = TimeSpan.FromSeconds(3);

    private readonly ISecretStore? store;
    private readonly TimeSpan? limit;
    private readonly string noStore;
    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly Lock gate = new();
    private bool? takes;

    /// <param name="use">Where new secrets go.</param>
    /// <param name="store">The keychain; null: there is none.</param>
    /// <param name="noStore">Why there is none.</param>
    /// <param name="limit">For every question; absent: the limits above.</param>
    internal Keychain(KeychainUse use, ISecretStore? store, string noStore = "there is none", TimeSpan? limit = null) =>
        (Use, this.store, this.noStore, this.limit) = (use, store, noStore, limit);

    /// <summary>None at all: every secret lies in a file.</summary>
    public static Keychain Files { get; } = new(KeychainUse.File, null);

    public KeychainUse Use { get; }

    /// <summary>What it is, in a sentence.</summary>
    public string Title => store?.Title ?? "the keychain";

    /// <summary>Why new secrets go into files although nobody asked for that; null while the keychain takes them, or was not asked to.</summary>
    public string? Absence { get; private set; }

    /// <summary>The keychain of whoever runs this.</summary>
    /// <param name="use">Where new secrets go.</param>
    /// <param name="directory">On Windows the entries, protected by DPAPI, lie here; elsewhere an empty file for each.</param>
    public static Keychain OfThisUser(KeychainUse use, string directory)
    {
        if (use == KeychainUse.File) return Files;
        var found = SystemKeychain.Find(directory, out var absence);
        return new Keychain(use, found, absence ?? "");
    }

    /// <summary>Whether a new secret goes in here.</summary>
    /// <exception cref="KeychainException">It must, and no keychain answers.</exception>
    public bool Takes()
    {
        if (Use == KeychainUse.File) return false;
        // Held while the keychain is asked: two threads that find it locked must not have it ask a person twice.
        lock (gate)
        {
            if (takes is null)
            {
                Absence = Probe();
                takes = Absence is null;
            }
            if (takes is false && Use == KeychainUse.Required)
                throw new KeychainException($"{KeychainWords.Setting} is 'required', and no keychain answers: {Absence}", KeychainWords.HowToGet);
            return takes.Value;
        }
    }

    /// <summary>
    /// Has it keep, give out and forget a secret of no worth; null when it did, else why not. Under a name of its own: commands that run at the same time, all asking this, would else delete each other's.
    /// </summary>
    public string? Probe()
    {
        if (store is null) return noStore;
        var name = "probe." + Guid.NewGuid().ToString("N");
        var secret = RandomNumberGenerator.GetBytes(16);
        try
        {
            var kept = Ask(ProbeLimit, s =>
            {
                try
                {
                    s.Write(name, secret);
                    return Same(s.Read(name), secret);
                }
                finally
                {
                    s.Delete(name);
                }
            });
            return kept ? null : $"{Title} is locked, or nothing serves it";
        }
        catch (KeychainException e)
        {
            return e.What;
        }
    }

    /// <summary>
    /// Whether an entry is still there; null when that can't be told. No person is asked for anything, so it may be called every few seconds; a locked keychain makes nothing look deleted.
    /// </summary>
    internal bool? Has(string name)
    {
        if (Use == KeychainUse.File || store is null) return null;
        try
        {
            return Ask(LookLimit, s => s.Has(name));
        }
        catch (KeychainException)
        {
            return null;
        }
    }

    /// <summary>The secret under a name that it was once kept under; null only when it has been deleted since.</summary>
    /// <exception cref="KeychainException">It is not given out now.</exception>
    internal byte[]? Read(string name)
    {
        if (Use == KeychainUse.File)
            throw new KeychainException($"'{name}' lies in the keychain, and {KeychainWords.Setting} is 'file'", $"Unset {KeychainWords.Setting}, or make it anew (sign in again; for an agent's key, 'agent recover').");
        if (Ask(UseLimit, s => s.Read(name)) is { } found) return found;
        // Not there, or locked. Only a keychain that answers to something else may say so; and what was locked may be open by now.
        if (Probe() is { } why) throw new KeychainException($"'{name}' lies in {Title}, which does not give it out: {why}", KeychainWords.HowToUnlock);
        return Ask(UseLimit, s => s.Read(name));
    }

    /// <summary>Keeps a secret, and reads it back before it says so. False: it belongs into a file.</summary>
    /// <exception cref="KeychainException">It must be kept here, and was not.</exception>
    internal bool TryKeep(string name, byte[] secret)
    {
        if (!Takes()) return false;
        try
        {
            Write(name, secret);
            return true;
        }
        catch (KeychainException e) when (Use == KeychainUse.Auto)
        {
            lock (gate)
            {
                (takes, Absence) = (false, e.What);
            }
            return false;
        }
    }

    /// <summary>Puts another secret in the place of one that lies here.</summary>
    /// <exception cref="KeychainException">It could not be read back.</exception>
    internal void Write(string name, byte[] secret)
    {
        var kept = Ask(UseLimit, s =>
        {
            s.Write(name, secret);
            return Same(s.Read(name), secret);
        });
        if (!kept) throw new KeychainException($"{Title} did not keep '{name}'", KeychainWords.HowToUnlock);
    }

    /// <exception cref="KeychainException">It may still be there.</exception>
    internal void Delete(string name)
    {
        // A locked keychain shows nothing, whether it was deleted or not.
        if (Probe() is { } why) throw new KeychainException($"'{name}' can't be deleted from {Title}: {why}", KeychainWords.HowToUnlock);
        var gone = Ask(UseLimit, s =>
        {
            s.Delete(name);
            return s.Read(name) is null;
        });
        if (!gone) throw new KeychainException($"'{name}' is still in {Title}", KeychainWords.HowToUnlock);
    }

    /// <summary>One question at a time: behind one that hangs, the next gives up as well instead of starting another thread.</summary>
    private T Ask<T>(TimeSpan usual, Func<ISecretStore, T> question)
    {
        if (store is not { } asked) throw new KeychainException($"no keychain answers: {noStore}", KeychainWords.HowToGet);
        var longest = limit ?? usual;
        if (!turn.Wait(longest)) throw Silent(longest);
        T answer = default!;
        Exception? failure = null;
        var asking = new Thread(() =>
        {
            try
            {
                answer = question(asked);
            }
            catch (Exception e)
            {
                // A native library that is missing, a service that is gone, an entry that is damaged: whoever asked hears of it.
                failure = e;
            }
            finally
            {
                turn.Release();
            }
        })
        { IsBackground = true, Name = "keychain" };
        asking.Start();
        if (!asking.Join(longest)) throw Silent(longest);
        return failure switch
        {
            null => answer,
            DllNotFoundException => throw new KeychainException("libsecret is not installed", KeychainWords.HowToGet, failure),
            _ => throw new KeychainException($"{Title} failed ({failure.GetType().Name})", KeychainWords.HowToUnlock, failure),
        };
    }

    private KeychainException Silent(TimeSpan waited) =>
        new($"{Title} has not answered for {waited.TotalSeconds:0.#} s; it may be waiting for its password", KeychainWords.HowToUnlock);

    private static bool Same(byte[]? read, byte[] written) => read is not null && CryptographicOperations.FixedTimeEquals(read, written);
}
