using System.Text.Json;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>members</c>, <c>invitations</c> and <c>organizations</c> against a real control plane, two people with a home each.</summary>
public sealed class OrganizationCommandsTests : IAsyncLifetime
{
    private const string Password = "correct horse battery";
    private readonly TemporaryDirectory directory = new();
    private readonly CliRun owner = new();
    private readonly CliRun guest = new();
    private WebApplication server = null!;

    private string Url => server.Urls.First();

    public async ValueTask InitializeAsync()
    {
        server = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
        });
        await server.StartAsync(TestContext.Current.CancellationToken);
        var local = await LocalWorkspace.EnsureAsync(server, TestContext.Current.CancellationToken);
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = Url, Token = local.Token }));
    }

    public async ValueTask DisposeAsync()
    {
        await server.StopAsync();
        await server.DisposeAsync();
        owner.Dispose();
        guest.Dispose();
        directory.Dispose();
    }

    [Fact]
    public async Task A_person_is_invited_joins_rises_takes_over_and_the_old_owner_leaves()
    {
        (await owner.InvokeAsync("invitations", "create", "ann@example.test", "--expires-in-hours", "1")).ShouldBe(0, owner.Error.Text);
        var link = owner.Output.Text.Trim();
        link.ShouldStartWith(Url + "/invitations?code=");
        owner.Error.Text.ShouldStartWith("for ann@example.test as member; works once, until ");

        guest.Input = $"{link}\n{Password}\n";
        (await guest.InvokeAsync("invitations", "accept", "-", "--email", "ann@example.test", "--name", "Ann")).ShouldBe(0, guest.Error.Text);
        guest.Error.Text.ShouldContain($"you are in local as member, and signed in at {Url}; workspace 'local'");
        (await guest.InvokeAsync("auth", "whoami", "--json")).ShouldBe(0, guest.Error.Text);
        Read(guest, WireJson.Default.IdentityBody).Email.ShouldBe("ann@example.test");
        (await guest.InvokeAsync("organizations", "list")).ShouldBe(0, guest.Error.Text);
        guest.Output.Text.ShouldMatch("local +\\* +org_");
        guest.Output.Text.ShouldMatch("personal-[0-9a-z]{8} +org_");

        (await owner.InvokeAsync("members", "list")).ShouldBe(0);
        owner.Output.Text.Split('\n')[0].ShouldMatch("^EMAIL +ROLE +NAME +ID$");
        owner.Output.Text.ShouldMatch("ann@example.test +member +Ann +usr_");
        (await owner.InvokeAsync("members", "set-role", "Ann@example.test", "admin", "--json")).ShouldBe(0, owner.Error.Text);
        Read(owner, WireJson.Default.MemberBody).Role.ShouldBe(Role.Admin);

        (await owner.InvokeAsync("members", "leave", "--yes")).ShouldBe(125);
        owner.Error.Text.ShouldStartWith("error: The owner can't leave.\nhint: Transfer the ownership");
        (await owner.InvokeAsync("organizations", "transfer", "ann@example.test", "--yes", "--json")).ShouldBe(0, owner.Error.Text);
        Read(owner, WireJson.Default.MemberBody).Role.ShouldBe(Role.Owner);
        (await owner.InvokeAsync("members", "leave", "--yes", "--json")).ShouldBe(0, owner.Error.Text);
        Read(owner, WireJson.Default.IdentityBody).Email.ShouldBe("owner@local");
        (await owner.InvokeAsync("members", "list")).ShouldBe(125, "the token ended with the membership");
        (await guest.InvokeAsync("members", "list", "--json")).ShouldBe(0, guest.Error.Text);
        Read(guest, WireJson.Default.PageMemberBody).Items.ShouldHaveSingleItem().Role.ShouldBe(Role.Owner);
    }

    [Fact]
    public async Task An_invitation_is_listed_revoked_by_its_address_and_then_refused()
    {
        (await owner.InvokeAsync("invitations", "list")).ShouldBe(0);
        owner.Error.Text.ShouldStartWith("no invitations");
        (await owner.InvokeAsync("invitations", "create", "ann@example.test", "--role", "viewer", "--json")).ShouldBe(0, owner.Error.Text);
        var made = Read(owner, WireJson.Default.CreatedInvitation);
        (await owner.InvokeAsync("invitations", "create")).ShouldBe(0, owner.Error.Text);

        (await owner.InvokeAsync("invitations", "revoke", "ANN@example.test", "--json")).ShouldBe(0, owner.Error.Text);
        var revoked = Read(owner, WireJson.Default.PageInvitationBody).Items.ShouldHaveSingleItem();
        (revoked.Id, revoked.State).ShouldBe((made.Invitation.Id, InvitationState.Revoked));
        (await owner.InvokeAsync("invitations", "revoke", "ann@example.test")).ShouldBe(125, "none is pending");
        (await owner.InvokeAsync("invitations", "list")).ShouldBe(0);
        owner.Output.Text.ShouldMatch("ann@example.test +viewer +revoked ");
        owner.Output.Text.ShouldMatch("whoever has the link +member +pending ");

        guest.Input = Password;
        (await guest.InvokeAsync("invitations", "accept", made.Link, "--email", "ann@example.test", "--name", "Ann")).ShouldBe(125);
        guest.Error.Text.ShouldStartWith("error: The invitation does not work");
        File.Exists(Path.Combine(guest.Home, "credentials.json")).ShouldBeFalse();
    }

    [Fact]
    public async Task Organizations_are_made_and_listed_and_members_removed()
    {
        (await owner.InvokeAsync("organizations", "create", "second one")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldMatch("^second one  org_");
        (await owner.InvokeAsync("organizations", "list")).ShouldBe(0);
        owner.Output.Text.ShouldMatch("local +\\* +org_");
        (await owner.InvokeAsync("organizations", "list", "--json")).ShouldBe(0);
        Read(owner, WireJson.Default.PageOrganizationBody).Items.Select(o => o.Name).ShouldBe(["local", "second one"]);

        (await owner.InvokeAsync("invitations", "create", "--json")).ShouldBe(0);
        guest.Input = Password;
        (await guest.InvokeAsync("invitations", "accept", Read(owner, WireJson.Default.CreatedInvitation).Link, "--email", "bob@example.test", "--name", "Bob", "--workspace", "theirs")).ShouldBe(0, guest.Error.Text);
        (await guest.InvokeAsync("members", "remove", "owner@local", "--yes")).ShouldBe(125);
        guest.Error.Text.ShouldStartWith("error: This needs the role admin");

        (await owner.InvokeAsync("members", "remove", "owner@local", "--yes")).ShouldBe(125);
        owner.Error.Text.ShouldContain("members leave");
        (await owner.InvokeAsync("members", "remove", "bob@example.test")).ShouldBe(125);
        owner.Error.Text.ShouldContain("add --yes");
        (owner.Terminal, owner.Input) = (true, "n\n");
        (await owner.InvokeAsync("members", "remove", "bob@example.test")).ShouldBe(130);
        owner.Input = "y\n";
        (await owner.InvokeAsync("members", "remove", "bob@example.test", "--json")).ShouldBe(0, owner.Error.Text);
        Read(owner, WireJson.Default.MemberBody).Name.ShouldBe("Bob");
        (await guest.InvokeAsync("auth", "whoami")).ShouldBe(125);
    }

    [Theory]
    [InlineData("not a link")]
    [InlineData("https://tanjiren.example/setup?code=hushhush")]
    [InlineData("https://tanjiren.example/invitations?code=")]
    [InlineData("ftp://tanjiren.example/invitations?code=hushhush")]
    [InlineData("http://tanjiren.example/invitations?code=hushhush")] // plain http beyond loopback
    public async Task A_link_that_leads_elsewhere_is_refused_without_repeating_its_code(string link)
    {
        guest.Input = Password;
        (await guest.InvokeAsync("invitations", "accept", link, "--email", "ann@example.test")).ShouldBe(125);
        guest.Error.Text.ShouldStartWith("error: ");
        (guest.Error.Text + guest.Output.Text).ShouldNotContain("hushhush");
    }

    [Fact]
    public async Task Mistakes_are_told_before_anything_is_asked_of_the_server()
    {
        (await owner.InvokeAsync("members", "set-role", "ann@example.test", "owner")).ShouldBe(125);
        owner.Error.Text.ShouldContain("organizations transfer");
        (await owner.InvokeAsync("invitations", "create", "--role", "owner")).ShouldBe(125);
        owner.Error.Text.ShouldContain("not one of viewer, member, admin");
        (await owner.InvokeAsync("invitations", "create", "--expires-in-hours", "721")).ShouldBe(125);
        (await owner.InvokeAsync("members", "remove", "nobody@example.test", "--yes")).ShouldBe(125);
        owner.Error.Text.ShouldContain("there is no member 'nobody@example.test' in local");
        guest.Input = Password;
        (await guest.InvokeAsync("invitations", "accept", Url + "/invitations?code=x", "--email", "a@example.test", "--workspace", "../up")).ShouldBe(125);
        guest.Error.Text.ShouldContain("can't name a workspace");
    }

    private static T Read<T>(CliRun cli, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(cli.Output.Bytes, type)!;
}
