namespace Tanjiren.Server.Governance;

/// <summary>What organizations begin with. Version 1 of each is a copy: a later change here changes none that exists.</summary>
internal static class StartDoctrine
{
    /// <summary>
    /// For the organization that a person gets with their account. One member with nobody to ask gains nothing from rules, and the first job on one's own machine
    /// must not wait.
    /// </summary>
    public const string Personal = "# No rules: every task runs at once.\n";

    /// <summary>For organizations that are made to share machines.</summary>
    public const string Shared = """
        # What may run here, and who has to agree first. `doctrine test` answers for a task that nobody has made;
        # docs/concepts/doctrine.md explains every key. A rule matches when all its conditions are met, each by any
        # one of its values.

        forbid:
          - name: erase-a-machine
            because: there is no way back; do it at the machine if you must.
            when:
              pattern:
                - '\brm[\s\\]+(-\S+[\s\\]+)*["'']?(/|~/?|\$HOME/?|\$\{HOME\}/?)\*?["'']?(\s|[;&|)]|$)'
                - '\bmkfs(\.\w+)?\s'
                - '(?s)\bdd\s.*\bof=["'']?/dev/(sd|nvme|vd|xvd|disk|mmcblk)'
                - '(?i)\bformat(\.com)?\s+c:'

        approvals:
          - name: production
            class: production_mutation
            because: this is what customers stand on.
            when:
              tags: [production]

          - name: infrastructure
            class: sensitive_write
            when:
              pattern:
                - '(?s)\b(terraform|tofu|pulumi|terragrunt)\s.*\b(apply|destroy|import|up|taint)\b'
                - '(?s)\bkubectl\s.*\b(apply|create|delete|drain|edit|exec|patch|replace|rollout|scale)\b'
                - '(?s)\bhelm\s.*\b(install|upgrade|uninstall|rollback)\b'
                - '\bansible(-playbook)?\s'
                - '(?s)\b(aws|az|gcloud)\s.*\b(create|delete|put|remove|terminate|update)\b'

          - name: destructive-commands
            class: sensitive_write
            when:
              pattern:
                - '(?s)\brm\s.*-(\w*[rR]|-recursive)'
                - '(?i)\b(drop|truncate)[\s\\]+(database|schema|table)\b'
                - '(?i)\bdelete[\s\\]+from\b'
                - '(?s)\bgit[\s\\]+push\s.*(--force|-f\b)'
                - '\b(shutdown|reboot|poweroff|halt)\b'
                - '(?is)\bremove-item\s.*-recurse'

        # freeze:
        #   - name: weekend
        #     zone: Europe/Berlin
        #     cron: '0 18 * * 5'      # Fridays at six …
        #     duration: 62h           # … until Monday at eight
        #     when: { tags: [production] }

        """;
}
