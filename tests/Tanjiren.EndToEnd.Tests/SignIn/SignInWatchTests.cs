using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Settings;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>What counts as a sign-in that is gone from the machine.</summary>
public sealed class SignInWatchTests : IDisposable
{
    private const string Server = "https://far.example";

    private readonly TemporaryDirectory directory = new();
    private readonly MemoryKeychain store = new();
    private readonly TanvritHome home;
    private readonly SignInWatch watch;

    public SignInWatchTests()
    {
        home = new TanvritHome(directory.File("tanvrit"));
        Directory.CreateDirectory(Agent);
        watch = new SignInWatch(Agent, new Keychain(KeychainUse.Auto, store));
        Keep(new WorkspaceCredential { Url = Server, Token = "tnv_1", RefreshToken = "tnr_1" });
    }

    private string Agent => directory.File("agent");

    public void Dispose() => directory.Dispose();

    [Fact]
    public void An_agent_that_stands_on_no_sign_in_loses_none()
    {
        SignInWatch.Remember(Agent, home, Access(renewable: false));
        new CredentialFile(home).Write(new Credentials());
        watch.Gone().ShouldBeNull();
    }

    [Fact]
    public void Signed_out_here_it_is_gone_and_signed_in_again_it_is_back()
    {
        SignInWatch.Remember(Agent, home, Access());
        watch.Gone().ShouldBeNull();
        new CredentialFile(home).Write(new Credentials());
        watch.Gone()!.ShouldContain("'local' at https://far.example");
        Keep(new WorkspaceCredential { Url = Server, Token = "tnv_2", RefreshToken = "tnr_2" });
        watch.Gone().ShouldBeNull();
    }

    [Fact]
    public void Another_server_under_the_same_name_is_another_sign_in()
    {
        SignInWatch.Remember(Agent, home, Access());
        Keep(new WorkspaceCredential { Url = "https://other.example", Token = "tnv_2" });
        watch.Gone().ShouldNotBeNull();
    }

    [Fact]
    public void Registered_anew_the_running_agent_looks_for_the_new_one()
    {
        SignInWatch.Remember(Agent, home, Access());
        new CredentialFile(home).Write(new Credentials());
        watch.Gone().ShouldNotBeNull();
        SignInWatch.Remember(Agent, home, Access(renewable: false));
        watch.Gone().ShouldBeNull();
        SignInWatch.Remember(Agent, home, Access());
        SignInWatch.Forget(Agent);
        watch.Gone().ShouldBeNull();
    }

    [Fact]
    public void What_can_not_be_read_decides_nothing()
    {
        SignInWatch.Remember(Agent, home, Access());
        watch.Gone().ShouldBeNull();
        File.WriteAllText(home.CredentialsFile, "{");
        watch.Gone().ShouldBeNull();
        new CredentialFile(home).Write(new Credentials());
        watch.Gone().ShouldNotBeNull();
        File.WriteAllText(home.CredentialsFile, "{");
        watch.Gone().ShouldNotBeNull();
    }

    [Fact]
    public void Deleted_from_the_keychain_it_is_gone_and_a_new_one_is_back()
    {
        KeepIn("sign-in.1");
        SignInWatch.Remember(Agent, home, Access());
        watch.Gone().ShouldBeNull();
        store.Delete("sign-in.1");
        watch.Gone()!.ShouldContain("is no longer in the test's keychain.");
        KeepIn("sign-in.2");
        watch.Gone().ShouldBeNull();
        store.Asked.ShouldNotContain(asked => asked.StartsWith("read ", StringComparison.Ordinal), "for a look nobody is asked for a password");
    }

    [Fact]
    public void A_keychain_that_is_locked_or_fails_takes_nothing_away_and_brings_nothing_back()
    {
        KeepIn("sign-in.1");
        SignInWatch.Remember(Agent, home, Access());
        store.Locked = true;
        watch.Gone().ShouldBeNull();
        store.Before = static _ => throw new DllNotFoundException("libgio-2.0.so.0");
        watch.Gone().ShouldBeNull();
        store.GoOn();
        store.Locked = false;
        store.Delete("sign-in.1");
        watch.Gone().ShouldNotBeNull();
        store.Locked = true;
        watch.Gone().ShouldNotBeNull();
        KeepIn("sign-in.2");
        watch.Gone().ShouldBeNull("nothing speaks against the new one");
    }

    [Fact]
    public void Replaced_between_two_looks_it_is_not_missed()
    {
        KeepIn("sign-in.1");
        SignInWatch.Remember(Agent, home, Access());
        store.Before = operation =>
        {
            if (operation != "has sign-in.1") return;
            store.GoOn();
            KeepIn("sign-in.2");
            store.Delete("sign-in.1");
        };
        watch.Gone().ShouldBeNull();
        store.Names.ShouldBe(["sign-in.2"]);
    }

    [Fact]
    public void Told_to_use_files_it_asks_no_keychain()
    {
        KeepIn("sign-in.1");
        SignInWatch.Remember(Agent, home, Access());
        store.Delete("sign-in.1");
        new SignInWatch(Agent, new Keychain(KeychainUse.File, store)).Gone().ShouldBeNull();
        watch.Gone().ShouldNotBeNull();
    }

    private void KeepIn(string entry)
    {
        store.Write(entry, [1]);
        Keep(new WorkspaceCredential { Url = Server, Entry = entry });
    }

    private void Keep(WorkspaceCredential credential) => new CredentialFile(home).Write(new Credentials().With("local", credential));

    private static ServerAccess Access(bool renewable = true) => new() { Workspace = "local", Url = new Uri(Server), Token = "tnv_1", Renewable = renewable };
}
