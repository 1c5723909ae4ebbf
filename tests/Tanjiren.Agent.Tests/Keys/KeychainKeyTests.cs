using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Keys;

/// <summary>The agent's key in the keychain, stopped before every operation of it: no key is lost, none is left behind, and no file ever has what the keychain took.</summary>
public sealed class KeychainKeyTests : IDisposable
{
    /// <summary>More than any of the acts below needs; each test sees that it ran through in the end.</summary>
    private const int MostOperations = 40;

    private readonly TemporaryDirectory directory = new();
    private MemoryKeychain store = new();
    private string name = "home";

    private string Home => directory.File(name);

    public void Dispose() => directory.Dispose();

    [Fact]
    public void A_new_key_lies_in_the_keychain_and_the_file_says_where()
    {
        var home = Open();
        string made;
        using (var key = home.CreateKey(home.Key)) made = Fingerprint(key);

        store.Kept.ShouldBe([Entry(made)]);
        File.ReadAllText(home.Key).ShouldBe("keychain:" + Entry(made));
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(home.Key).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        (InUse(Open()), home.KeyStore(home.Key).Fingerprint()).ShouldBe((made, made));
        FilesWithAKey().ShouldBeEmpty();
    }

    [Fact]
    public void Where_no_keychain_answers_it_lies_in_its_file()
    {
        store.Locked = true;
        var home = new AgentHome(Home, new Keychain(KeychainUse.Auto, store));
        using (var key = home.CreateKey(home.Key)) InUse(home).ShouldBe(Fingerprint(key));
        FilesWithAKey().ShouldBe([home.Key]);
    }

    [Fact]
    public void A_key_in_a_file_moves_in_once()
    {
        var before = InFile();
        var home = Open();
        home.MoveKeysIn(NullLogger.Instance);

        InUse(home).ShouldBe(before);
        store.Kept.ShouldBe([Entry(before)]);
        FilesWithAKey().ShouldBeEmpty();
        var asked = store.Asked.Count;
        Open().MoveKeysIn(NullLogger.Instance);
        store.Asked.Count.ShouldBe(asked, "it lies there already");
    }

    [Fact]
    public void Stopped_while_it_moves_in_the_key_is_there_and_the_next_start_ends_it()
    {
        var before = "";
        AtEveryStop(
            () => before = InFile(),
            home => home.MoveKeysIn(NullLogger.Instance),
            home => InUse(home).ShouldBe(before),
            () => store.Kept.ShouldBe([Entry(before)]));
    }

    [Fact]
    public void Stopped_while_a_key_is_made_the_next_try_makes_one_and_only_that_stays() => AtEveryStop(
        () => { },
        home =>
        {
            if (!File.Exists(home.Key)) home.CreateKey(home.Key).Dispose();
            home.SweepKeys();
        },
        home => InUse(home).ShouldBe(home.KeyStore(home.Key).Fingerprint(), "what a file names is there"),
        () => store.Kept.ShouldBe([Entry(InUse(Open())!)]));

    [Fact]
    public void Stopped_while_a_key_takes_the_place_of_another_the_one_that_the_identity_names_counts_and_the_other_goes()
    {
        string old = "", next = "";
        AtEveryStop(
            () =>
            {
                var home = Open();
                using (var key = home.CreateKey(home.Key)) old = Fingerprint(key);
                using (var key = home.CreateKey(home.RotationKey)) next = Fingerprint(key);
                store.Kept.ShouldBe([Entry(old), Entry(next)], ignoreOrder: true);
                Save(home, next);
            },
            home =>
            {
                home.FinishPairing();
                home.SweepKeys();
            },
            home => InUse(home).ShouldBe(next),
            () => store.Kept.ShouldBe([Entry(next)]));
    }

    [Fact]
    public void Stopped_before_the_key_is_moved_into_its_place_the_next_start_moves_it()
    {
        var home = Open();
        string next;
        home.CreateKey(home.Key).Dispose();
        using (var key = home.CreateKey(home.NextKey)) next = Fingerprint(key);
        Save(home, next);

        Open().FinishPairing();

        (InUse(Open()), File.Exists(home.NextKey), store.Kept.Single()).ShouldBe((next, false, Entry(next)));
    }

    [Fact]
    public void Given_up_a_waiting_key_goes_from_both_places_in_the_end()
    {
        var home = Open();
        string own;
        using (var key = home.CreateKey(home.Key)) own = Fingerprint(key);
        home.CreateKey(home.RotationKey).Dispose();
        store.Locked = true;
        new SuccessorKey(home).Forget();
        File.Exists(home.RotationKey).ShouldBeFalse();
        store.Kept.Count.ShouldBe(2, "locked, it deletes nothing");

        store.Locked = false;
        Open().SweepKeys();

        store.Kept.ShouldBe([Entry(own)]);
    }

    [Fact]
    public void A_copy_of_the_home_that_gets_a_key_of_its_own_takes_none_from_the_original()
    {
        Prerequisite.Linux(); // elsewhere a directory's birth is all that tells a copy
        var home = Open();
        string original, own;
        using (var key = home.CreateKey(home.Key)) original = Fingerprint(key);
        Save(home, original);
        Copy(Home, directory.File("copy"));
        var copy = new AgentHome(directory.File("copy"), Required());
        InUse(copy).ShouldBe(original);

        using (var key = copy.CreateKey(copy.NextKey)) own = Fingerprint(key);
        Save(copy, own);
        copy.FinishPairing();
        copy.SweepKeys();

        (InUse(copy), InUse(Open())).ShouldBe((own, original));
    }

    [Fact]
    public void A_key_that_is_being_made_is_swept_away_by_nobody()
    {
        var home = Open();
        var swept = 0;
        store.Before = operation =>
        {
            // Between the entry and the file that is to name it.
            if (!operation.StartsWith("read agent-key.", StringComparison.Ordinal) || Interlocked.Exchange(ref swept, 1) == 1) return;
            Open().SweepKeys();
            Should.Throw<IOException>(() => Open().CreateKey(Open().RecoveryKey)).Message.ShouldContain("run this one again");
        };

        using var key = home.CreateKey(home.RotationKey);

        swept.ShouldBe(1);
        using var loaded = home.KeyStore(home.RotationKey).Load()!;
        Fingerprint(loaded).ShouldBe(Fingerprint(key));
    }

    [Fact]
    public void One_that_was_deleted_by_hand_is_lost_one_that_is_locked_is_not()
    {
        var home = Open();
        string made;
        using (var key = home.CreateKey(home.Key)) made = Fingerprint(key);
        store.Locked = true;
        Should.Throw<KeychainException>(() => home.KeyStore(home.Key).Load()).Message.ShouldContain(Entry(made));
        home.KeyStore(home.Key).Fingerprint().ShouldBe(made, "no secret is needed for that");
        store.Locked = false;
        store.Delete(Entry(made));
        Should.Throw<InvalidDataException>(() => home.KeyStore(home.Key).Load()).Message.ShouldContain("agent recover");
    }

    [Fact]
    public void Another_key_under_the_same_name_is_none()
    {
        var home = Open();
        string made;
        using (var key = home.CreateKey(home.Key)) made = Fingerprint(key);
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        store.Write(Entry(made), other.ExportPkcs8PrivateKey());
        Should.Throw<InvalidDataException>(() => home.KeyStore(home.Key).Load());
        store.Write(Entry(made), [1, 2, 3]);
        Should.Throw<InvalidDataException>(() => home.KeyStore(home.Key).Load());
    }

    /// <summary>
    /// Does it in a new home with a stop before operation 1, 2, 3 … of the keychain, until it runs through; looks at what the stop left, and what the next start makes of it. Nothing cleans up after
    /// such a stop: where the keychain is required, its failure is passed on like any other.
    /// </summary>
    private void AtEveryStop(Action prepare, Action<AgentHome> act, Action<AgentHome> left, Action end)
    {
        for (var operation = 1; ; operation++)
        {
            operation.ShouldBeLessThan(MostOperations);
            (name, store) = ($"home-{operation}", new MemoryKeychain());
            prepare();
            store.StopAt(operation);
            try
            {
                act(Open());
            }
            catch (KeychainException) when (store.Stopped)
            {
                // As it should be.
            }
            store.GoOn();
            left(Open());
            act(Open());
            end();
            FilesWithAKey().ShouldBeEmpty();
            if (store.Stopped) continue;
            operation.ShouldBeGreaterThan(1, "it never asked the keychain");
            return;
        }
    }

    private Keychain Required() => new(KeychainUse.Required, store);

    private AgentHome Open() => new(Home, Required());

    private string InFile()
    {
        var home = new AgentHome(Home);
        using var key = home.CreateKey(home.Key);
        FilesWithAKey().ShouldBe([home.Key]);
        return Fingerprint(key);
    }

    private static void Save(AgentHome home, string fingerprint) => AgentHome.Replace(home.Identity, new AgentIdentity
    {
        ServerUrl = "http://127.0.0.1:1", InstanceId = FakeControlPlane.InstanceId, InstanceName = "box", OrganizationId = "org_1", OrganizationName = "home", KeyFingerprint = fingerprint, ServerKeys = [],
    }, AgentJson.Default.AgentIdentity, durable: false);

    private static string? InUse(AgentHome home)
    {
        using var key = home.KeyStore(home.Key).Load();
        return key is null ? null : Fingerprint(key);
    }

    private static string Fingerprint(ECDsa key) => Jwk.FromKey(key).Thumbprint();

    private static string Entry(string fingerprint) => "agent-key." + fingerprint;

    private IEnumerable<string> FilesWithAKey() =>
        Directory.EnumerateFiles(Home, "*", SearchOption.AllDirectories).Where(path => File.ReadAllText(path).Contains("PRIVATE KEY", StringComparison.Ordinal));

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.GetFiles(from)) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        foreach (var inner in Directory.GetDirectories(from)) Copy(inner, Path.Combine(to, Path.GetFileName(inner)));
    }
}
